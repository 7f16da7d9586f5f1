"""Means of what training sees by itself, by bin: nothing is computed for them but the means.

Shapes: K bins, N rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: adds a tensor up over all processes, in place
AddUp = Callable[[Tensor], None]


class Tally:
    """Sums and counts of rows by bin; those of a step join the others when the step is done.

    Until then they are of this process alone; after it all processes hold the same. In float64, so that the order of
    micro-batches shows as little as it can.
    """

    def __init__(self, bins: int, decay: float = 1.0) -> None:
        """``decay`` is what earlier steps are multiplied by at the end of each."""
        self._decay = decay
        self._step_2K = torch.zeros(2, bins, dtype=torch.float64)
        self.sums_2K = torch.zeros(2, bins, dtype=torch.float64)

    def to(self, device: torch.device) -> None:
        """From now on it is on this device."""
        self._step_2K = self._step_2K.to(device)
        self.sums_2K = self.sums_2K.to(device)

    def add(self, bin_N: Tensor, value_N: Tensor) -> None:
        """Rows of one chunk; those of a bin that is not there (-1) are left out."""
        self.to(value_N.device)
        bin_K1 = torch.arange(self._step_2K.shape[1], device=bin_N.device)[:, None]
        # A product, since additions of a scatter come in any order on a GPU.
        member_KN = (bin_K1 == bin_N).to(torch.float64)
        self._step_2K[0] += member_KN @ value_N.to(torch.float64)
        self._step_2K[1] += member_KN.sum(1)

    def close_step(self, add_up: AddUp) -> None:
        """The optimizer step is done, in every process."""
        add_up(self._step_2K)
        self.sums_2K = self.sums_2K * self._decay + self._step_2K
        self._step_2K = torch.zeros_like(self._step_2K)

    def clear(self) -> None:
        """Begin anew."""
        self.sums_2K = torch.zeros_like(self.sums_2K)

    def means(self) -> tuple[Tensor, Tensor]:
        """Mean ``[K]``, 0 where there is none, and count ``[K]``."""
        sum_K, count_K = self.sums_2K
        return torch.where(count_K > 0, sum_K / count_K.clamp(min=1e-300), 0.0), count_K

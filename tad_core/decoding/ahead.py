"""What the host can know of a coming forward before it has read how the last one ended.

A small forward takes a GPU about as long as its host needs to read the last one's outcome and to prepare the next. If
its number of tokens is guessed, most of it can run in the meantime; a wrong guess costs a forward that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Share of right guesses from which guessing pays: a small forward takes ten times what the host takes between two.
WORTH = 0.9
#: Weight of the latest guess in that share.
_LATEST = 1 / 32


class Guess:
    """The number of tokens of the next forward: that of the last one that was of the usual kind."""

    def __init__(self) -> None:
        self._tokens: int | None = None
        self._right = 1.0

    @property
    def tokens(self) -> int | None:
        """The guess; None while nothing is known, or guesses are wrong too often."""
        return self._tokens if self._right >= WORTH else None

    def was(self, tokens: int, usual: bool) -> None:
        """What a forward then had; one that refreshed a cache is not of the usual kind."""
        if self._tokens is not None:
            self._right += _LATEST * ((tokens == self._tokens) - self._right)
        if usual or self._tokens is None:
            self._tokens = tokens


def on_its_way(figures: Tensor) -> Callable[[], list[list[int]]]:
    """Start to bring figures to the host; call it to wait for them, and for nothing that was begun after them."""
    if not figures.is_cuda:
        return figures.tolist
    there = torch.empty(figures.shape, dtype=figures.dtype, pin_memory=True)
    there.copy_(figures, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    # The stream of where they are: the current device may be another.
    arrived.record(torch.cuda.current_stream(figures.device))

    def read() -> list[list[int]]:
        arrived.synchronize()
        figures: list[list[int]] = there.tolist()
        return figures

    return read

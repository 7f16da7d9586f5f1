"""A fixed number of forwards for the whole response (T3D's budgets): spread over the blocks, the surest tokens first.

What does not come out even is given to the first: of K blocks the first ``budget % K`` get one forward more than the
others, and of the forwards of a block the first reveal one token more, as LLaDA's sampler shares out its steps.

Shapes: B slots, L response positions, K blocks, S positions of a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import highest
from tad_core.decoding.policies.base import first_unfinished
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.errors import ConfigError

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class FixedBudget(TokenByToken):
    """Blocks from left to right; of the current one as many of the surest as the forwards that are left ask for."""

    knob: ClassVar[str | None] = "forward_budget"

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """Every block gets a forward, and every forward a token."""
        budget = spec.forward_budget
        if not isinstance(budget, int) or not spec.blocks <= budget <= spec.response_length:
            raise ConfigError(
                f"forward_budget: {budget} is not accepted; use a number from {spec.blocks}, one for each block, to "
                f"{spec.response_length}, one for each token"
            )

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        assert spec.forward_budget is not None
        forwards = shares(spec.forward_budget, spec.blocks)
        # How many a forward reveals, by the block and by how many of its positions are masked still.
        self._count_KS = torch.tensor([by_left(spec.block_length, n) for n in forwards], device=device)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """The open positions of the highest log-odds."""
        count_B = self._count_KS[first_unfinished(open_BL, self._block_length), open_BL.sum(1)]
        return highest(scores_BL.masked_fill(~open_BL, -torch.inf), count_B) & open_BL


def shares(total: int, parts: int) -> list[int]:
    """``total`` in so many parts that differ by at most one, the larger first."""
    least, more = divmod(total, parts)
    return [least + (i < more) for i in range(parts)]


def by_left(size: int, forwards: int) -> list[int]:
    """Of a block of ``size`` that takes so many forwards: reveals of the next one by the masks left, 0 to ``size``."""
    counts, left = [0] * (size + 1), size
    for count in shares(size, forwards):
        counts[left] = count
        left -= count
    return counts

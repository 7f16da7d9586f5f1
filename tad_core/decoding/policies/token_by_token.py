"""Token by token: one reveal a forward, the most confident masked position of the current block.

Shapes: B slots, L response positions, N rows, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import leftmost_argmax, log_odds
from tad_core.decoding.policies.base import first_unfinished, positions_of

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class TokenByToken:
    """Blocks from left to right, each finished before the next; ties go to the leftmost position."""

    knob: ClassVar[str | None] = None
    scores_mask = False

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """It has no settings."""

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        self._block_length = spec.block_length

    def enter(self, where_B: Tensor) -> None:
        """It remembers nothing."""

    def advance(self, masked_BL: Tensor, where_B: Tensor) -> None:
        """It remembers nothing."""

    def open(self, masked_BL: Tensor) -> Tensor:
        """The first block with a mask."""
        first_B = first_unfinished(masked_BL, self._block_length)
        return positions_of(first_B, first_B + 1, masked_BL, self._block_length)

    def score(self, logits_NV: Tensor, token_N: Tensor) -> Tensor:
        """Log-odds of the token."""
        return log_odds(logits_NV, token_N)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """The open position with the highest log-odds."""
        best_B = leftmost_argmax(scores_BL.masked_fill(~open_BL, -torch.inf))
        return torch.zeros_like(open_BL).scatter(1, best_B[:, None], True) & open_BL

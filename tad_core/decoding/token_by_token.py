"""Token by token: one reveal a forward, the most confident masked position of the current block.

Shapes: B samples, L response positions, S scored positions, N rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.decoding.base import DecodeSpec
from tad_core.decoding.confidence import leftmost_argmax, log_odds


class TokenByToken:
    """Blocks from left to right, each finished before the next; ties go to the leftmost position."""

    scores_mask = False

    def __init__(self, spec: DecodeSpec) -> None:
        self._block_length = spec.block_length

    def window(self, masked_BL: Tensor) -> tuple[Tensor, Tensor]:
        """The first block with a mask."""
        start_B = masked_BL.int().argmax(1) // self._block_length * self._block_length
        return start_B, start_B + self._block_length

    def score(self, logits_NV: Tensor) -> Tensor:
        """Log-odds of the greedy token."""
        return log_odds(logits_NV, logits_NV.argmax(-1))

    def choose(self, scores_BS: Tensor, open_BS: Tensor, position_BS: Tensor, start_B: Tensor) -> Tensor:
        """The open position with the highest log-odds."""
        best_B = leftmost_argmax(scores_BS.masked_fill(~open_BS, -torch.inf))
        return torch.zeros_like(open_BS).scatter(1, best_B[:, None], True)

    def keep(self, rows_B: Tensor) -> None:
        """It has no state."""

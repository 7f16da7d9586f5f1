"""Entropy threshold in one block (dParallel's decoding): all positions that are sure enough, and the surest.

Shapes: B slots, L response positions, N rows, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import leftmost_argmax
from tad_core.decoding.policies.entropy import entropy
from tad_core.decoding.policies.token_by_token import TokenByToken

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class EntropyBlock(TokenByToken):
    """Blocks from left to right; of the current one every position whose entropy is at most the threshold."""

    knob: ClassVar[str | None] = "threshold"

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        self.scores_mask = spec.mask_in_entropy
        self._threshold = spec.threshold

    def score(self, logits_NV: Tensor, token_N: Tensor) -> Tensor:
        """Entropy of the prediction."""
        return entropy(logits_NV)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """Every open position at or below the threshold, and the lowest of all."""
        entropy_BL = scores_BL.masked_fill(~open_BL, torch.inf)
        lowest_B1 = leftmost_argmax(-entropy_BL)[:, None]
        return ((entropy_BL <= self._threshold) & open_BL).scatter(1, lowest_B1, True) & open_BL

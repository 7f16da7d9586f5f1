"""Confidence threshold in one block (Fast-dLLM v1, section 3.3): all positions that are sure enough, and the surest.

Public code for Dream also reveals the first token of every block at the block's first forward, whatever its
probability; that is not done here.

Shapes: B slots, L response positions, N rows, V vocabulary.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import leftmost_argmax
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.errors import ConfigError

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


def check_probability(spec: DecodeSpec) -> None:
    """Raise ``ConfigError`` for a threshold that is no probability."""
    if spec.threshold > 1:
        raise ConfigError(f"threshold: {spec.threshold} is not a probability; use 0 to 1")


class ConfidenceThreshold(TokenByToken):
    """Blocks from left to right; of the current one every token whose probability is at least the threshold."""

    knob: ClassVar[str | None] = "threshold"

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """The threshold is a probability."""
        check_probability(spec)

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        p = spec.threshold
        self._log_odds = math.log(p / (1 - p)) if 0 < p < 1 else math.inf if p == 1 else -math.inf

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """Every open position at or above the threshold, and the highest of all."""
        odds_BL = scores_BL.masked_fill(~open_BL, -torch.inf)
        best_B1 = leftmost_argmax(odds_BL)[:, None]
        return ((odds_BL >= self._log_odds) & open_BL).scatter(1, best_B1, True) & open_BL

"""Parallel by factor in one block (Fast-dLLM v1, section 3.3): as many as are sure enough together, and the surest.

With the confidences of the block sorted, c_1 the highest, the n surest are revealed for the largest n with
``(n + 1) (1 - c_n) < factor``; below 1 the tokens that are likeliest together are those that are likeliest alone. The
left side grows with n, so the first n that fails ends the search. Public code always reveals the last two masks of a
block together, which the rule does not say and is not done here.

Shapes: B slots, L response positions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import highest
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.errors import ConfigError

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class ParallelFactor(TokenByToken):
    """Blocks from left to right; of the current one the n surest that are sure enough for n at once."""

    knob: ClassVar[str | None] = "factor"

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """The factor is above zero."""
        if not (spec.factor is not None and 0 < spec.factor < math.inf):
            raise ConfigError(f"factor: {spec.factor} is not accepted; use a number above 0, e.g. 1")

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        assert spec.factor is not None
        # As log-odds, which do not saturate: (n + 1) (1 - c) < factor exactly if they are above these.
        bounds = [log_odds_needed(n, spec.factor) for n in range(1, spec.response_length + 1)]
        self._bound_L = torch.tensor(bounds, dtype=torch.float64, device=device)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """The surest, as many as pass together, and one at least."""
        odds_BL = scores_BL.masked_fill(~open_BL, -torch.inf)
        sorted_BL = odds_BL.sort(-1, descending=True).values
        count_B = (sorted_BL > self._bound_L).sum(1).clamp(min=1)
        return highest(odds_BL, count_B) & open_BL


def log_odds_needed(n: int, factor: float) -> float:
    """What the log-odds of the n-th surest must exceed: those of ``c = 1 - factor / (n + 1)``."""
    return math.log((n + 1) / factor - 1) if factor < n + 1 else -math.inf

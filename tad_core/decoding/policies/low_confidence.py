"""Low-confidence remasking (LLaDA, its own sampler): a fixed number of tokens a forward in one block, the surest first.

The sampler predicts every masked position and masks all but the n surest again. A block of S positions takes
ceil(S / n) forwards; the last one reveals what is left where n does not divide S, which the sampler does not allow.

Shapes: B slots, L response positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import highest
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.errors import ConfigError

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class LowConfidence(TokenByToken):
    """Blocks from left to right; of the current one the n surest positions."""

    knob: ClassVar[str | None] = "tokens_per_forward"

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """A forward reveals between one token and a block."""
        n = spec.tokens_per_forward
        if not isinstance(n, int) or not 1 <= n <= spec.block_length:
            raise ConfigError(
                f"tokens_per_forward: {n} is not accepted; use a number from 1 to the {spec.block_length} of a block"
            )

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        self._count_B = torch.full((slots,), spec.tokens_per_forward or 1, device=device)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """The n open positions of the highest log-odds, or all that are left."""
        return highest(scores_BL.masked_fill(~open_BL, -torch.inf), self._count_B) & open_BL

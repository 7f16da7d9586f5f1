"""D2F's pipeline of blocks (Wang et al. 2025, "Discrete diffusion forcing"): several blocks are revealed at once.

Before each forward one block is added when the last added one has progressed to ``block_add_threshold``. Every added
block reveals all tokens whose probability is above the threshold. A block is *fully activated* once the one before it
has progressed to ``decoded_threshold`` (the first always is), and reveals its surest token where none is above the
threshold; until then it is *semi-activated* and may reveal nothing.

The public code adds no block behind an end-of-text. Here ``early_stop`` ends a sample when what is before it is
revealed; a block added meanwhile changes nothing there, since with block-causal attention nothing before it sees it.

Shapes: B slots, L response positions, K blocks, N rows, V vocabulary.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tad_core.decoding.confidence import leftmost_argmax, log_odds
from tad_core.decoding.policies.confidence import check_probability
from tad_core.decoding.policies.entropy import EntropyMultiBlock, reveals_needed

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class BlockPipeline(EntropyMultiBlock):
    """Blocks are added as in ``entropy``; which of their positions a forward reveals is D2F's."""

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """The threshold is a probability."""
        check_probability(spec)

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        super().__init__(spec, slots, device)
        self.scores_mask = False
        self._decoded = reveals_needed(spec.decoded_threshold, spec.block_length)
        p = spec.threshold
        self._log_odds = math.log(p / (1 - p)) if 0 < p < 1 else math.inf if p == 1 else -math.inf
        self._forced_BK = torch.zeros(slots, spec.blocks, dtype=torch.bool, device=device)

    def open(self, masked_BL: Tensor) -> Tensor:
        """The masked positions of all added blocks; notes which blocks are fully activated."""
        shown_BK = self._spec.block_length - self._blocks(masked_BL).sum(-1)
        decoded_BK = shown_BK >= self._decoded
        first_B1 = torch.ones_like(decoded_BK[:, :1])
        self._forced_BK = torch.cat((first_B1, decoded_BK[:, :-1]), 1)
        return super().open(masked_BL)

    def score(self, logits_NV: Tensor, token_N: Tensor) -> Tensor:
        """Log-odds of the token."""
        return log_odds(logits_NV, token_N)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """What is above the threshold, and in fully activated blocks without such the surest."""
        odds_BL = scores_BL.masked_fill(~open_BL, -torch.inf)
        sure_BKS = self._blocks(open_BL & (odds_BL > self._log_odds))
        best_BK1 = leftmost_argmax(self._blocks(odds_BL))[..., None]
        forced_BK1 = (self._forced_BK & ~sure_BKS.any(-1))[..., None]
        chosen_BKS = sure_BKS | torch.zeros_like(sure_BKS).scatter(-1, best_BK1, forced_BK1)
        return chosen_BKS.flatten(1) & open_BL

    def _blocks(self, of_BL: Tensor) -> Tensor:
        return of_BL.view(-1, self._spec.blocks, self._spec.block_length)

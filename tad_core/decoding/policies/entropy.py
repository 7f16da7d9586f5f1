"""Entropy-threshold multi-block decoding (paper, section C.2.2; the strategy of D2F and d3LLM).

Before each forward one block is added when the last added one has progressed to ``block_add_threshold``. The forward
reveals, in this order:

1. every masked position of the added blocks whose entropy is strictly below the threshold;
2. if there is none, the one of lowest entropy over all added blocks;
3. if the first unfinished block got nothing from either, its own position of lowest entropy, too.

The paper also has a threshold from which a block counts as decoded and its successor as fully activated, and rule 3 is
for the first unfinished block that is fully activated. That is the first unfinished one whatever this threshold is: all
before it are complete. So there is no such setting here.

Shapes: B slots, L response positions, K blocks, N rows, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from tad_core.decoding.confidence import leftmost_argmax
from tad_core.decoding.policies.base import first_unfinished, positions_of

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


def entropy(logits_NV: Tensor) -> Tensor:
    """Entropy ``[N]`` of softmax(logits) in nats; a probability of zero adds exactly zero."""
    terms_NV: Tensor = torch.special.entr(logits_NV.softmax(-1))
    return terms_NV.sum(-1)


def reveals_needed(progress: float, block_length: int) -> int:
    """The fewest revealed positions of a block whose share is at least ``progress``."""
    return next(n for n in range(block_length + 1) if n / block_length >= progress)


def _lowest(entropy_BL: Tensor, where_B1: Tensor) -> Tensor:
    """The leftmost position of lowest entropy of each slot that ``where_B1`` names, ``[B, L]`` bool."""
    lowest_B1 = leftmost_argmax(-entropy_BL)[:, None]
    return torch.zeros_like(entropy_BL, dtype=torch.bool).scatter(1, lowest_B1, where_B1)


class EntropyMultiBlock:
    """The blocks of each slot and which of their positions a forward reveals."""

    knob: ClassVar[str | None] = "threshold"
    #: Rule 2; without it a forward may reveal nothing but what rule 3 forces.
    lowest_of_all: ClassVar[bool] = True

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """What it reads is checked for every method."""

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        self._spec = spec
        self.scores_mask = spec.mask_in_entropy
        self._needed = reveals_needed(spec.block_add_threshold, spec.block_length)
        self._added_B = torch.ones(slots, dtype=torch.long, device=device)

    def enter(self, where_B: Tensor) -> None:
        """One block each."""
        self._added_B = torch.where(where_B, 1, self._added_B)

    def advance(self, masked_BL: Tensor, where_B: Tensor) -> None:
        """Add a block where the last added one has progressed far enough."""
        left_BK = masked_BL.view(-1, self._spec.blocks, self._spec.block_length).sum(-1)
        revealed_B = self._spec.block_length - left_BK.gather(1, self._added_B[:, None] - 1)[:, 0]
        more_B = (revealed_B >= self._needed) & (self._added_B < self._spec.blocks) & where_B
        self._added_B = self._added_B + more_B

    def open(self, masked_BL: Tensor) -> Tensor:
        """The masked positions of all added blocks."""
        return positions_of(
            torch.zeros_like(self._added_B), self._added_B, masked_BL, self._spec.block_length
        )

    def score(self, logits_NV: Tensor, token_N: Tensor) -> Tensor:
        """Entropy of the prediction."""
        return entropy(logits_NV)

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """What the three rules reveal."""
        entropy_BL = scores_BL.masked_fill(~open_BL, torch.inf)
        chosen_BL = open_BL & self._sure(entropy_BL)
        if self.lowest_of_all:
            chosen_BL |= _lowest(entropy_BL, where_B1=~chosen_BL.any(1, keepdim=True))
        first_B = first_unfinished(open_BL, self._spec.block_length)
        first_BL = positions_of(first_B, first_B + 1, open_BL, self._spec.block_length)
        stuck_B1 = ~(chosen_BL & first_BL).any(1, keepdim=True)
        chosen_BL |= _lowest(entropy_BL.masked_fill(~first_BL, torch.inf), where_B1=stuck_B1)
        return chosen_BL & open_BL

    def _sure(self, entropy_BL: Tensor) -> Tensor:
        return entropy_BL < self._spec.threshold

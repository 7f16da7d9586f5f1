"""Entropy-threshold multi-block decoding (paper, section C.2.2; the strategy of D2F and d3LLM).

Before each forward one block is added when the last added one has progressed to ``block_add_threshold``. The forward
reveals, in this order:

1. every masked position of the added blocks whose entropy is strictly below the threshold;
2. if there is none, the one of lowest entropy over all added blocks;
3. if the first unfinished block got nothing from either, its own position of lowest entropy, too.

The paper also has a threshold from which a block counts as decoded and its successor as fully activated, and rule 3 is
for the first unfinished block that is fully activated. That is the first unfinished one whatever this threshold is: all
before it are complete. So there is no such setting here.

Shapes: B samples, L response positions, K blocks, S scored positions, N rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.decoding.base import DecodeSpec
from tad_core.decoding.confidence import leftmost_argmax


def entropy(logits_NV: Tensor) -> Tensor:
    """Entropy ``[N]`` of softmax(logits) in nats; a probability of zero adds exactly zero."""
    terms_NV: Tensor = torch.special.entr(logits_NV.softmax(-1))
    return terms_NV.sum(-1)


def reveals_needed(progress: float, block_length: int) -> int:
    """The fewest revealed positions of a block whose share is at least ``progress``."""
    return next(n for n in range(block_length + 1) if n / block_length >= progress)


def _lowest(entropy_BS: Tensor, where_B1: Tensor) -> Tensor:
    """The leftmost position of lowest entropy of each sample that ``where_B1`` names, ``[B, S]`` bool."""
    lowest_B1 = leftmost_argmax(-entropy_BS)[:, None]
    return torch.zeros_like(entropy_BS, dtype=torch.bool).scatter(1, lowest_B1, where_B1)


class EntropyMultiBlock:
    """The blocks of each sample and which of their positions a forward reveals."""

    def __init__(self, spec: DecodeSpec, size: int, device: torch.device) -> None:
        self._spec = spec
        self.scores_mask = spec.mask_in_entropy
        self._needed = reveals_needed(spec.block_add_threshold, spec.block_length)
        self._added_B = torch.ones(size, dtype=torch.long, device=device)

    def window(self, masked_BL: Tensor) -> tuple[Tensor, Tensor]:
        """From the first unfinished block to the last added one; adds at most one block."""
        left_BK = masked_BL.view(-1, self._spec.blocks, self._spec.block_length).sum(-1)
        revealed_B = self._spec.block_length - left_BK.gather(1, self._added_B[:, None] - 1)[:, 0]
        more_B = (revealed_B >= self._needed) & (self._added_B < self._spec.blocks)
        self._added_B = self._added_B + more_B
        first_B = (left_BK > 0).int().argmax(1)
        return first_B * self._spec.block_length, self._added_B * self._spec.block_length

    def score(self, logits_NV: Tensor) -> Tensor:
        """Entropy of the prediction."""
        return entropy(logits_NV)

    def choose(self, scores_BS: Tensor, open_BS: Tensor, position_BS: Tensor, start_B: Tensor) -> Tensor:
        """What the three rules reveal."""
        entropy_BS = scores_BS.masked_fill(~open_BS, torch.inf)
        chosen_BS = entropy_BS < self._spec.threshold
        chosen_BS |= _lowest(entropy_BS, where_B1=~chosen_BS.any(1, keepdim=True))
        first_BS = open_BS & (position_BS < start_B[:, None] + self._spec.block_length)
        stuck_B1 = ~(chosen_BS & first_BS).any(1, keepdim=True)
        return chosen_BS | _lowest(entropy_BS.masked_fill(~first_BS, torch.inf), where_B1=stuck_B1)

    def keep(self, rows_B: Tensor) -> None:
        """Drop the blocks of the samples that left."""
        self._added_B = self._added_B[rows_B]

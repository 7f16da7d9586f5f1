"""Entropy-threshold multi-block decoding (paper, section C.2.2; the strategy of D2F and d3LLM).

A block is inactive (not decoded), then semi-activated (positions of low entropy are revealed), then fully
activated. Before each forward one block is added when the last added one has progressed to
``block_add_threshold``, and a block is fully activated when its predecessor has progressed to
``decoded_threshold``. The forward reveals every masked position of the added blocks whose entropy is strictly
below the threshold; if the first unfinished fully activated block got nothing, its position of lowest entropy
is revealed all the same. That block always is the first unfinished one: its predecessors are complete, hence
at progress 1, which activates it whatever ``decoded_threshold`` is.

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


class EntropyMultiBlock:
    """The blocks of each sample and which of their positions a forward reveals."""

    def __init__(self, spec: DecodeSpec, size: int, device: torch.device) -> None:
        self._spec = spec
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
        """All below the threshold, and the lowest of the first unfinished block if that one got none."""
        entropy_BS = scores_BS.masked_fill(~open_BS, torch.inf)
        passed_BS = entropy_BS < self._spec.threshold
        first_BS = open_BS & (position_BS < start_B[:, None] + self._spec.block_length)
        lowest_B1 = leftmost_argmax(-entropy_BS.masked_fill(~first_BS, torch.inf))[:, None]
        stuck_B1 = ~(passed_BS & first_BS).any(1, keepdim=True)
        return passed_BS | torch.zeros_like(open_BS).scatter(1, lowest_B1, stuck_B1)

    def keep(self, rows_B: Tensor) -> None:
        """Drop the blocks of the samples that left."""
        self._added_B = self._added_B[rows_B]

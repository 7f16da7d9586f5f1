"""Decoding a model whose attention is block-causal: what a forward computes, and what each piece of it sees.

A token sees the prompt, the blocks before its own and its own block; a token of the prompt sees the prompt. So blocks
that nobody has opened yet need not be there at all, and the keys and values of a block are final from the forward on
that reads it with all its tokens revealed, those before it being final: keeping them is exact.

Shapes: B slots, L response positions, W columns of a slot (prompt and response), N rows asked for, G pieces of a slot
(the prompt and each block).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tad_core.decoding.policies.base import first_unfinished
from tad_core.decoding.slots import Slots
from tad_core.decoding.spec import DecodeSpec


class BlockCausalSchedule:
    """Everything up to the last open block, or with a cache what of it is not final; see ``schedule.Schedule``."""

    def __init__(self, spec: DecodeSpec, slots: int, width: int, shift: int, device: torch.device) -> None:
        """For slots of ``width`` columns and a family whose row i - ``shift`` predicts token i."""
        self._spec, self._width, self._shift = spec, width, shift
        self._kept_B = torch.zeros(slots, dtype=torch.long, device=device)  # leading columns that are final
        self._prompt_B = torch.zeros_like(self._kept_B)

    def enter(self, where_B: Tensor) -> None:
        """New samples took these slots: nothing of them is known."""
        self._kept_B = self._kept_B.masked_fill(where_B, 0)

    def computed(
        self, masked_BL: Tensor, open_BL: Tensor, revealed_BL: Tensor, prompt_B: Tensor, total_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens to compute in the coming forward, ``[B, W]`` bool, and which slots are read whole, ``[B]``."""
        del masked_BL, revealed_BL
        self._prompt_B = prompt_B
        size, device = self._spec.block_length, open_BL.device
        block_L = torch.arange(open_BL.shape[1], device=device) // size
        blocks_B = ((block_L + 1) * open_BL).amax(1)  # up to the last open one
        column_W = torch.arange(self._width, device=device)
        compute_BW = column_W < (prompt_B + blocks_B * size)[:, None]
        if self._spec.cache != "none":
            compute_BW = compute_BW & (column_W >= self._kept_B[:, None])
        if self._shift:
            # The first row of a block is the one before it predicts, which may be final: it is computed once more.
            column_BL = prompt_B[:, None] + torch.arange(open_BL.shape[1], device=device) - self._shift
            column_BL = column_BL.clamp(min=0, max=self._width - 1)
            ahead_BW = torch.zeros_like(compute_BW, dtype=torch.int32).scatter_add(
                1, column_BL, open_BL.int()
            )
            compute_BW = compute_BW | (ahead_BW > 0)
        full_B = (self._kept_B == 0) | (self._spec.cache == "none")
        return compute_BW & (column_W < total_B[:, None]), full_B & (total_B > 0)

    def ran(self, masked_BL: Tensor, full_B: Tensor, reveals_B: Tensor) -> None:
        """After a forward: what was masked before it tells which blocks it read as they will stay."""
        del full_B, reveals_B
        done_B = first_unfinished(masked_BL, self._spec.block_length)
        self._kept_B = self._prompt_B + done_B * self._spec.block_length


class Pieces(NamedTuple):
    """The pieces of a forward of which anything is computed, slot after slot.

    Attributes:
        tokens: computed of each.
        wanted: rows asked for of each.
        keys: first and number of the tokens that it sees: cells of a cache, or places among the computed tokens.
    """

    tokens: list[int]
    wanted: list[int]
    keys: list[tuple[int, int]]


def pieces_of(
    slots: Slots, compute_BW: Tensor, slot_N: Tensor, row_N: Tensor, block: int, starts: Sequence[int]
) -> Pieces:
    """Cut what is computed at the ends of prompts and blocks.

    Args:
        slots: the samples.
        compute_BW: tokens to compute.
        slot_N: slot of each row asked for, slot after slot.
        row_N: its column.
        block: tokens of a block.
        starts: where the tokens that a slot's see begin.
    """
    width = compute_BW.shape[1]
    column_W = torch.arange(width, device=compute_BW.device)
    behind_BW = column_W - slots.prompt_B[:, None]
    piece_BW = torch.where(behind_BW < 0, 0, behind_BW.div(block, rounding_mode="floor") + 1)
    count = 2 + width // block
    tokens_BG = torch.zeros(len(compute_BW), count, dtype=torch.long, device=compute_BW.device)
    wanted_BG = torch.zeros_like(tokens_BG)
    tokens_BG.scatter_add_(1, piece_BW, compute_BW.long())
    wanted_BG.index_put_((slot_N, piece_BW[slot_N, row_N]), torch.ones_like(slot_N), accumulate=True)
    prompts, tokens, wanted = slots.prompt_B.tolist(), tokens_BG.tolist(), wanted_BG.tolist()
    found = Pieces([], [], [])
    for b, start in enumerate(starts):
        for g, computed in enumerate(tokens[b]):
            if computed:
                found.tokens.append(computed)
                found.wanted.append(wanted[b][g])
                found.keys.append((start, prompts[b] + g * block))
    return found

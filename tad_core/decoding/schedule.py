"""Which tokens a forward computes: all, or those that can have changed since the cache was refreshed.

Between refreshes the others count as they were when they were computed last, which is an approximation (Fast-dLLM,
section 3.2). With its *dual* cache all of the open blocks is computed (``dual_block``); with ``dual`` only their open
positions and what the last forward revealed, so that the other tokens of a block, too, count as they were when they had
just been revealed. With a *prefix* cache the block that was first unfinished at the refresh and everything behind it
are.

Shapes: B slots, L response positions, W columns of a slot, prompt and response.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.decoding.policies.base import first_unfinished
from tad_core.decoding.spec import DecodeSpec


class Schedule:
    """When each slot is computed whole, and what of it otherwise."""

    def __init__(self, spec: DecodeSpec, slots: int, width: int, shift: int, device: torch.device) -> None:
        """For slots of ``width`` columns and a family whose row i - ``shift`` predicts token i."""
        self._spec, self._width, self._shift = spec, width, shift
        self._forwards_B = torch.zeros(slots, dtype=torch.long, device=device)  # since the last refresh
        self._reveals_B = torch.zeros_like(self._forwards_B)
        self._block_B = torch.full_like(self._forwards_B, -1)  # the first unfinished one at the last refresh
        # Refreshes in a row since that block is the first.
        self._settled_B = torch.zeros_like(self._forwards_B)
        self._new_B = torch.ones(slots, dtype=torch.bool, device=device)

    @property
    def cached(self) -> bool:
        """Whether keys and values are kept."""
        return self._spec.cache != "none"

    def enter(self, where_B: Tensor) -> None:
        """New samples took these slots: nothing of them is known."""
        self._new_B = self._new_B | where_B

    def computed(
        self, masked_BL: Tensor, open_BL: Tensor, revealed_BL: Tensor, prompt_B: Tensor, total_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens to compute in the coming forward, ``[B, W]`` bool, and which slots are refreshed, ``[B]``.

        Args:
            masked_BL: what is masked.
            open_BL: what may be revealed.
            revealed_BL: what the last forward revealed.
            prompt_B: tokens of each prompt.
            total_B: tokens of prompt and response; 0 for an empty slot.
        """
        column_W = torch.arange(self._width, device=masked_BL.device)
        all_BW = column_W < total_B[:, None]
        if not self.cached:
            return all_BW, total_B > 0
        spec = self._spec
        refresh_B = self._new_B
        if spec.refresh_blocks:
            other_B = first_unfinished(masked_BL, spec.block_length) != self._block_B
            refresh_B = refresh_B | other_B | (self._settled_B < spec.refresh_settle)
        if spec.refresh_forwards:
            refresh_B = refresh_B | (self._forwards_B >= spec.refresh_forwards)
        if spec.refresh_reveals:
            refresh_B = refresh_B | (self._reveals_B >= spec.refresh_reveals)
        some_BW = self._partial(masked_BL, open_BL, revealed_BL, prompt_B) & all_BW
        return torch.where(refresh_B[:, None], all_BW, some_BW), refresh_B & (total_B > 0)

    def _partial(self, masked_BL: Tensor, open_BL: Tensor, revealed_BL: Tensor, prompt_B: Tensor) -> Tensor:
        """What is computed between refreshes, ``[B, W]``; anything in slots that are refreshed."""
        column_BL = prompt_B[:, None] + torch.arange(masked_BL.shape[1], device=masked_BL.device)
        # One sample's columns never reach another's: width is at least the longest prompt with its response. A slot of
        # another way may have less room behind its prompt; nothing that is said of it counts.
        column_BL = column_BL.clamp(max=self._width - 1)
        none_BW = torch.zeros((len(prompt_B), self._width), dtype=torch.bool, device=masked_BL.device)
        if self._spec.cache == "prefix":
            kept_B = prompt_B + self._block_B * self._spec.block_length
            some_BW = torch.arange(self._width, device=masked_BL.device) >= kept_B[:, None]
        else:
            new_BL = open_BL | revealed_BL
            if self._spec.cache == "dual_block":
                size = self._spec.block_length
                new_BL = new_BL.view(len(new_BL), -1, size).any(-1).repeat_interleave(size, dim=1)
            some_BW = none_BW.scatter(1, column_BL, new_BL)
        if self._shift:
            some_BW = some_BW | none_BW.scatter(1, (column_BL - self._shift).clamp(min=0), open_BL)
        return some_BW

    def ran(self, masked_BL: Tensor, refresh_B: Tensor, reveals_B: Tensor) -> None:
        """After a forward: which slots it refreshed, what was masked before it, and how much it revealed."""
        if not self.cached:
            return
        block_B = first_unfinished(masked_BL, self._spec.block_length)
        again_B = (block_B == self._block_B) & ~self._new_B
        self._settled_B = torch.where(
            refresh_B, torch.where(again_B, self._settled_B + 1, 1), self._settled_B
        )
        self._forwards_B = torch.where(refresh_B, 1, self._forwards_B + 1)
        self._reveals_B = torch.where(refresh_B, reveals_B, self._reveals_B + reveals_B)
        self._block_B = torch.where(refresh_B, block_B, self._block_B)
        self._new_B = self._new_B & ~refresh_B

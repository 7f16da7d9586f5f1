"""What a decoding method decides: which positions may be revealed, how sure the model is, which are taken.

A new method is one file beside this one, one entry in ``POLICIES`` and one test.

Shapes: B slots, L response positions, K blocks, N rows of logits, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:  # a spec is checked against the methods that there are
    from tad_core.decoding.spec import DecodeSpec


class Policy(Protocol):
    """A method; its tensors hold one row per slot. What it remembers of a slot is forgotten by ``enter``."""

    knob: ClassVar[str | None]
    """The setting of ``DecodeSpec`` that trades quality for speed, whose values make a curve; None: there is none.

    One that is not ``threshold`` is the method's own: needed by it, and refused by methods that have another.
    """

    scores_mask: bool
    """Whether ``score`` sees the mask token's own logit; if not, it is -inf there."""

    def __init__(self, spec: DecodeSpec, slots: int, device: torch.device) -> None:
        """For so many slots, with tensors on ``device``; ``spec`` was checked."""
        ...

    @classmethod
    def check(cls, spec: DecodeSpec) -> None:
        """Raise ``ConfigError`` for settings that this method cannot decode with."""
        ...

    def enter(self, where_B: Tensor) -> None:
        """New samples took these slots: ``where_B`` is bool."""
        ...

    def advance(self, masked_BL: Tensor, where_B: Tensor) -> None:
        """Called once before each forward of the slots ``where_B`` (bool): what may be revealed can grow.

        ``masked_BL`` is bool, and of no meaning in other slots.
        """
        ...

    def open(self, masked_BL: Tensor) -> Tensor:
        """Which masked positions may be revealed in the coming forward, ``[B, L]`` bool; some of any with a mask."""
        ...

    def score(self, logits_NV: Tensor, token_N: Tensor) -> Tensor:
        """What ``choose`` compares, ``[N]``: how sure each row is of its token, in a unit of the method's own.

        Args:
            logits_NV: of open positions; see ``scores_mask`` for the mask's own.
            token_N: the token that each would reveal, never the mask.
        """
        ...

    def choose(self, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """Which of the open positions to reveal, ``[B, L]`` bool; at least one where any is open.

        Args:
            scores_BL: what ``score`` gave, float64; 0 where nothing is open.
            open_BL: what ``open`` gave.
        """
        ...


def first_unfinished(masked_BL: Tensor, block_length: int) -> Tensor:
    """Index of the first block with a mask, ``[B]``; 0 where there is none."""
    return masked_BL.int().argmax(1) // block_length


def positions_of(first_B: Tensor, last_B: Tensor, masked_BL: Tensor, block_length: int) -> Tensor:
    """The masked positions of blocks ``first_B`` to before ``last_B``, ``[B, L]`` bool."""
    block_L = torch.arange(masked_BL.shape[1], device=masked_BL.device) // block_length
    return masked_BL & (block_L >= first_B[:, None]) & (block_L < last_B[:, None])

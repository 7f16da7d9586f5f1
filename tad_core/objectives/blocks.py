"""One block of a response: which positions it has, and the order in which the teacher revealed them.

What the objectives share that learn a block at a time, all before it shown and all after it masked.

Shapes: B states, L response positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tad_core.objectives.base import BoolArray, IntArray


def sampled_block(noise_B1: NDArray[np.float64], length: int, size: int) -> tuple[BoolArray, BoolArray]:
    """The positions of one of the blocks of a response, and those after it, both ``[B, L]``.

    Args:
        noise_B1: numbers of [0, 1), each of which chooses a block.
        length: of the response, tokens.
        size: of a block, tokens; the last one may have fewer.
    """
    start_B1 = (noise_B1 * -(-length // size)).astype(np.int64) * size
    position_1L = np.arange(length)[None, :]
    after_BL = position_1L >= start_B1 + size
    return (position_1L >= start_B1) & ~after_BL, after_BL


def rank_inside(revealed_at_BL: IntArray, block_BL: BoolArray) -> IntArray:
    """Place of each position in the teacher's order inside the block, from 0; positions outside it come last."""
    order_BL = np.where(block_BL, revealed_at_BL, np.iinfo(np.int64).max).argsort(1, kind="stable")
    rank_BL = np.empty_like(order_BL)
    position_1L = np.arange(block_BL.shape[1])[None, :]
    np.put_along_axis(rank_BL, order_BL, np.broadcast_to(position_1L, order_BL.shape), axis=1)
    return rank_BL

"""From a trajectory to its intermediate states and to the near and distant sets (algorithms: section 2).

State t (0 to L) has position i masked iff ``revealed_at[i] > t``: state 0 is all mask, state L is complete.

Shapes: L response positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def masked_at(revealed_at_L: IntArray, step: int) -> BoolArray:
    """Which positions are still masked in state ``step``."""
    return revealed_at_L > step


def state_at(response_ids_L: IntArray, revealed_at_L: IntArray, step: int, mask_token_id: int) -> IntArray:
    """The token ids ``[L]`` of state ``step``, masks included.

    Args:
        response_ids_L: the final tokens.
        revealed_at_L: the step that revealed each, from 1.
        step: 0 (all mask) to L (complete).
        mask_token_id: what stands where nothing is revealed yet.
    """
    return np.where(masked_at(revealed_at_L, step), mask_token_id, response_ids_L)


def partition(revealed_at_L: IntArray, step: int, window: int) -> tuple[BoolArray, BoolArray]:
    """Near and distant sets of state ``step`` for a window of ``window`` steps (paper, eq. 10 and 11).

    Near: masked and revealed by step ``min(step + window, L)``. Distant: masked and revealed later. They are
    disjoint and cover the masked set.

    Args:
        revealed_at_L: the step that revealed each position, from 1.
        step: 0 to L - 1: in state L nothing is masked.
        window: 1 step or more.

    Returns:
        Both sets, ``[L]`` bool.

    Raises:
        ValueError: the step is not a training state, or the window is under 1.
    """
    last = len(revealed_at_L)
    if not 0 <= step < last:
        raise ValueError(f"step: {step} is not a training state; use 0 to {last - 1}")
    if window < 1:
        raise ValueError(f"window: {window}; use at least 1")
    horizon = min(step + window, last)
    masked = masked_at(revealed_at_L, step)
    near = masked & (revealed_at_L <= horizon)
    return near, masked & ~near


def sample_steps(seed_key: str, length: int, count: int) -> IntArray:
    """``count`` distinct states of 0 … ``length`` - 1, drawn from ``seed_key`` alone, in increasing order."""
    from tad_core.rng import generator  # the one place where keys become numbers

    if count >= length:
        return np.arange(length, dtype=np.int64)
    return np.sort(generator(seed_key).choice(length, size=count, replace=False)).astype(np.int64)

"""States laid end to end: what a forward of training computes, without padding.

Student and teacher read the same response after prompts of their own. Only the rows of masked tokens leave the last
layer, so a row of a loss is a place among these.

Shapes: B states, L response positions, P longest prompt, T tokens of all states, N rows that leave the model.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tad_core.models.packed import Packing, Segments
from tad_core.objectives.base import BoolArray, IntArray
from tad_core.training.table import Prompts

#: see ``lay_out``; plain tensors and numbers, which loaders know how to pin and to send
LaidOut = dict[str, Any]


def wanted(masked_BL: BoolArray) -> BoolArray:
    """The positions whose rows leave the model: the masked ones; the first of a state in which none is.

    An attention of no queries is a case of its own in every kernel; one row more is not.
    """
    wanted_BL = masked_BL.copy()
    wanted_BL[~masked_BL.any(axis=1), 0] = True
    return wanted_BL


def rows_among(wanted_BL: BoolArray, chosen_BL: BoolArray) -> Tensor:
    """Where the rows of the chosen positions are, among those of the wanted ones; int64."""
    rank_BL = np.cumsum(wanted_BL.reshape(-1)).reshape(wanted_BL.shape) - 1
    return torch.from_numpy(rank_BL[chosen_BL])


def lay_out(
    prompts: Prompts, row_B: NDArray[np.int32], state_BL: IntArray, wanted_BL: BoolArray, shift: int
) -> LaidOut:
    """Each state after its prompt, one after the other.

    Args:
        prompts: of whoever reads the states.
        row_B: the prompt of each.
        state_BL: responses, masked.
        wanted_BL: positions whose rows are asked for, at least one of each state.
        shift: row i - shift predicts token i; see ``DiffusionLM.packed_shift``.

    Returns:
        ``ids_T``; ``at_T``, places in their sequences; ``wanted_N``, rows of T; ``start_B1`` and ``rows_start_B1``,
        int32, where the pieces of T and of N begin; ``counts`` and ``rows``, their lengths.
    """
    length = state_BL.shape[1]
    prompt_B = prompts.length_R[row_B]
    count_B = prompt_B + length
    start_B1 = np.concatenate(([0], np.cumsum(count_B)))
    at_T = np.arange(start_B1[-1]) - np.repeat(start_B1[:-1], count_B)
    is_response_T = at_T >= np.repeat(prompt_B, count_B)
    prompt_BP = prompts.padded(row_B)
    ids_T = np.empty(len(at_T), dtype=np.int64)
    ids_T[is_response_T] = state_BL.reshape(-1)
    ids_T[~is_response_T] = prompt_BP[np.arange(prompt_BP.shape[1])[None, :] < prompt_B[:, None]]
    state_N, position_N = np.nonzero(wanted_BL)
    wanted_N = start_B1[state_N] + np.maximum(prompt_B[state_N] + position_N - shift, 0)
    rows_B = wanted_BL.sum(axis=1)
    return {
        "ids_T": torch.from_numpy(ids_T),
        "at_T": torch.from_numpy(at_T),
        "wanted_N": torch.from_numpy(wanted_N),
        "start_B1": torch.from_numpy(start_B1.astype(np.int32)),
        "rows_start_B1": torch.from_numpy(np.concatenate(([0], np.cumsum(rows_B))).astype(np.int32)),
        "counts": count_B.tolist(),
        "rows": rows_B.tolist(),
    }


def packing_of(laid_out: LaidOut) -> Packing:
    """What ``DiffusionLM.packed`` wants to know beside the tokens."""
    counts, rows = (cast("list[int]", laid_out[name]) for name in ("counts", "rows"))
    return Packing(
        at_T=laid_out["at_T"],
        tokens=Segments(tuple(counts), laid_out["start_B1"], max(counts)),
        wanted_N=laid_out["wanted_N"],
        wanted=Segments(tuple(rows), laid_out["rows_start_B1"], max(rows)),
    )

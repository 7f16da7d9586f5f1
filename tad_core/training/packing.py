"""States laid end to end: what a forward of training computes, without padding.

Student and teacher read the same response after prompts of their own. Only the rows of masked tokens leave the last
layer, so a row of a loss is a place among these.

A student that reads block by block has its prompts and blocks as pieces, each with a copy of the keys it sees: all of
its sequence up to its own end. With P tokens of prompt, L of response and n blocks these are (n + 1) (P + L / 2) keys
and values in place of P + L, which a layer holds for its backward pass.

Shapes: B states, L response positions, P longest prompt, T tokens of all states, N rows that leave the model; of what
is cut in blocks G pieces of a state, B pieces of all, K keys.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tad_core.models.layout import Packing, Prefixes, Segments
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
    prompts: Prompts,
    row_B: NDArray[np.int32],
    state_BL: IntArray,
    wanted_BL: BoolArray,
    shift: int,
    block: int | None = None,
) -> LaidOut:
    """Each state after its prompt, one after the other.

    Args:
        prompts: of whoever reads the states.
        row_B: the prompt of each.
        state_BL: responses, masked.
        wanted_BL: positions whose rows are asked for, at least one of each state.
        shift: row i - shift predicts token i; see ``DiffusionLM.packed_shift``.
        block: tokens of a block of a reader that reads block by block.

    Returns:
        ``ids_T``; ``at_T``, places in their sequences; ``wanted_N``, rows of T; ``states``, how many;
        ``tokens`` and ``rows``, the pieces of T and of N, each with ``start_B1``, int32, where they begin, and
        ``counts``, their lengths. With ``block`` also what they see, ``tokens_see`` and ``rows_see``: pieces of keys,
        and ``token_K``, which of T each is.
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
    laid_out: LaidOut = {
        "ids_T": torch.from_numpy(ids_T),
        "at_T": torch.from_numpy(at_T),
        "wanted_N": torch.from_numpy(wanted_N),
        "states": len(state_BL),
    }
    if block is not None:
        return laid_out | _cut(start_B1, prompt_B, length, wanted_N, block)
    return laid_out | {"tokens": _pieces(count_B), "rows": _pieces(wanted_BL.sum(axis=1))}


def _cut(start_B1: IntArray, prompt_B: IntArray, length: int, wanted_N: IntArray, block: int) -> LaidOut:
    """Pieces that are prompts and blocks, and what they see; those without tokens, or rows, are left out."""
    start_B0 = start_B1[:-1, None]
    ends_G = np.minimum(np.arange(0, length + block, block), length)  # of the prompt, then of each block
    end_BG = start_B0 + prompt_B[:, None] + ends_G
    sees_BG = end_BG - start_B0
    of_state_B = np.broadcast_to(start_B0, end_BG.shape).reshape(-1)
    tokens_B = np.diff(end_BG.reshape(-1), prepend=0)
    rows_B = np.diff(np.searchsorted(wanted_N, end_BG.reshape(-1)), prepend=0)
    found: LaidOut = {}
    for name, counts_B in (("tokens", tokens_B), ("rows", rows_B)):
        some_B = counts_B > 0
        found[name] = _pieces(counts_B[some_B])
        see_B = sees_BG.reshape(-1)[some_B]
        # Place in the copy, less where the piece begins there, more where its sequence begins among T.
        first_B = of_state_B[some_B] - np.concatenate(([0], np.cumsum(see_B)[:-1]))
        token_K = np.arange(see_B.sum()) + np.repeat(first_B, see_B)
        found[f"{name}_see"] = {**_pieces(see_B), "token_K": torch.from_numpy(token_K)}
    return found


def _pieces(count_B: IntArray) -> LaidOut:
    starts_B1 = np.concatenate(([0], np.cumsum(count_B))).astype(np.int32)
    return {"start_B1": torch.from_numpy(starts_B1), "counts": count_B.tolist()}


def packing_of(laid_out: LaidOut) -> Packing:
    """What ``DiffusionLM.packed`` wants to know beside the tokens."""
    return Packing(
        at_T=laid_out["at_T"],
        tokens=_segments(laid_out["tokens"]),
        wanted_N=laid_out["wanted_N"],
        wanted=_segments(laid_out["rows"]),
        keys=_prefixes(laid_out.get("tokens_see")),
        wanted_keys=_prefixes(laid_out.get("rows_see")),
    )


def _segments(pieces: LaidOut) -> Segments:
    counts = cast("list[int]", pieces["counts"])
    return Segments(tuple(counts), pieces["start_B1"], max(counts))


def _prefixes(pieces: LaidOut | None) -> Prefixes | None:
    return None if pieces is None else Prefixes(pieces["token_K"], _segments(pieces))

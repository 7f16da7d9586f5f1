"""How far ahead the student can see: its confidence in the teacher's tokens against the distance to their reveal.

A sampled state t of a trajectory shows the student everything revealed by step t; each masked position i then has
offset ``revealed_at[i] - t`` and the student's probability of the token that the teacher put there. The mean per
offset, over the positions of the text, is the curve from which the windows are read (paper, section 3.3). Left out is
what was filled in or comes after the end of the text: end-of-text after an end is certain at any distance, and with it
the curve says how long the answers are, not how far the student sees.

Shapes: R trajectories, S states, L response positions (offsets 1 to L are columns 0 to L - 1), B states of a batch,
W sequence width, N masked positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from tad_core.config.marks import with_cost
from tad_core.errors import LogitsError
from tad_core.fitting import Fitting
from tad_core.models.base import DiffusionLM
from tad_core.models.batching import at_once
from tad_core.objectives.base import LOGITS_AT_ONCE
from tad_core.rng import generator
from tad_core.training.collate import flat_rows, join
from tad_core.training.dataset import TrainingTable
from tad_core.training.table import in_text

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Mean confidence per offset; NaN-free, 0 where the count is 0.

    Attributes:
        confidence_L: over the positions of the text, the token that ends it included.
        count_L: how many those were.
        all_L: over every masked position.
        all_count_L: how many those were.
        states: states measured.
    """

    confidence_L: FloatArray
    count_L: IntArray
    all_L: FloatArray
    all_count_L: IntArray
    states: int

    @property
    def left_out(self) -> float:
        """Share of the masked positions that is not text, 0 to 1."""
        return 1 - float(self.count_L.sum() / self.all_count_L.sum())


def sample_states(rows: int, states: int, length: int, seed: int) -> tuple[IntArray, IntArray]:
    """``(row_S, step_S)``, distinct, drawn over all states of all trajectories; in increasing order."""
    everything = rows * length
    chosen_S = np.sort(
        generator("calibrate", seed).choice(everything, size=min(states, everything), replace=False)
    )
    return chosen_S // length, chosen_S % length


def measure(
    model: DiffusionLM,
    table: TrainingTable,
    states: int,
    seed: int,
    batch_size: int,
    ends: Collection[int],
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Curve:
    """The curve of ``model`` (the base, no adapter) on sampled states, with the student's prompt.

    ``batch_size`` is how many states an accelerator takes at once. On a CPU each runs alone and unpadded, as fast, and
    all are added up in one order: what is stored does not depend on it there.

    Raises:
        LogitsError: what the model gives for a state is not numbers.
        OutOfMemoryError: not even one state fits into the device's memory.
    """
    length = table.response_RL.shape[1]
    row_S, step_S = sample_states(len(table), states, length, seed)
    # Neighbours in length share a batch: less padding.
    order_S = np.argsort(table.student.length_R[row_S], kind="stable")
    wanted = at_once(model.device.type, batch_size)
    fitting = Fitting("calibrate.batch_size", f"or shorten {with_cost('rollout.response_length')}")
    parts: list[tuple[IntArray, NDArray[np.bool_], FloatArray]] = []
    done = 0
    while done < len(order_S):
        part_B = order_S[done : done + fitting.of(wanted)]
        row_B = row_S[part_B]
        what = f"a prompt of {table.student.length_R[row_B].max()} tokens and a response of {length}"
        found = fitting.attempt(
            len(part_B), what, partial(_confidences, model, table, row_B, step_S[part_B], ends)
        )
        if found is None:
            continue
        if np.isnan(found[-1]).any():
            raise LogitsError.of_prompt(int(table.student.length_R[row_B].max()))
        parts.append(found)
        done += len(part_B)
        on_batch(done, len(order_S))
    offset_N, in_text_N, confidence_N = (np.concatenate(column) for column in zip(*parts, strict=True))
    text, everything = (
        _means(offset_N[chosen_N], confidence_N[chosen_N], length)
        for chosen_N in (in_text_N, np.ones_like(in_text_N))
    )
    return Curve(*text, *everything, len(order_S))


def _means(offset_N: IntArray, confidence_N: FloatArray, length: int) -> tuple[FloatArray, IntArray]:
    """Mean per offset, and of how many."""
    count_L = np.bincount(offset_N - 1, minlength=length)
    sum_L = np.bincount(offset_N - 1, confidence_N, minlength=length)
    return np.divide(sum_L, count_L, out=np.zeros_like(sum_L), where=count_L > 0), count_L


@torch.no_grad()
def _confidences(
    model: DiffusionLM, table: TrainingTable, row_B: IntArray, step_B: IntArray, ends: Collection[int]
) -> tuple[IntArray, NDArray[np.bool_], FloatArray]:
    """Offset, whether it is text (revealed, and up to the first of ``ends``), confidence of every masked position."""
    response_BL = table.response_RL[row_B].astype(np.int64)
    offset_BL = table.revealed_at_RL[row_B].astype(np.int64) - step_B[:, None]
    masked_BL = offset_BL > 0
    in_text_BL = in_text(table, row_B, ends)
    state_BL = np.where(masked_BL, model.mask_token_id, response_BL)
    ids_BW, mask_BW = join(table.student, row_B, state_BL, model.eos_token_id)
    index_N = flat_rows(masked_BL, np.arange(len(row_B)) * ids_BW.shape[1] + table.student.length_R[row_B])

    device = next(model.parameters()).device
    mask = None if mask_BW is None else torch.from_numpy(mask_BW).to(device)
    hidden_BWD = model.hidden(torch.from_numpy(ids_BW).to(device), mask)
    hidden_ND = hidden_BWD.flatten(0, 1).index_select(0, index_N.to(device))
    label_N = torch.from_numpy(response_BL[masked_BL]).to(device)
    parts = []
    chunk = max(1, LOGITS_AT_ONCE // model.vocab_size)
    for start in range(0, len(index_N), chunk):
        logits_NV = model.head(hidden_ND[start : start + chunk]).float()
        chosen_N = logits_NV.gather(1, label_N[start : start + chunk, None])[:, 0]
        parts.append((chosen_N - logits_NV.logsumexp(-1)).exp())
    return offset_BL[masked_BL], in_text_BL[masked_BL], torch.cat(parts).double().cpu().numpy()

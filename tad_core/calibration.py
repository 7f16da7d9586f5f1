"""How far ahead the student can see: its confidence in the teacher's tokens against the distance to their reveal.

A sampled state t of a trajectory shows the student everything revealed by step t; each masked position i then has
offset ``revealed_at[i] - t`` and the student's probability of the token that the teacher put there. The mean over
all of them, per offset, is the curve from which the windows are read (paper, section 3.3).

Shapes: R trajectories, S states, L response positions (offsets 1 to L are columns 0 to L - 1), B batch, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tad_core.models.base import DiffusionLM, right_pad
from tad_core.rng import generator
from tad_core.trajectory.schema import Trajectory
from tad_core.trajectory.states import masked_at, state_at

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Mean confidence per offset; NaN-free, 0 where ``count_L`` is 0.

    ``text_L`` and ``text_count_L`` leave out the end-of-text tail, which is easy at any distance.
    """

    confidence_L: FloatArray
    count_L: IntArray
    text_L: FloatArray
    text_count_L: IntArray
    states: int


@dataclass(frozen=True)
class Window:
    """A window and where it comes from.

    ``crossing`` is the offset at which the smoothed curve, read linearly, meets the threshold; None if it never does.
    """

    window: int
    threshold: float
    crossed: bool
    source: Literal["calibrated", "cap", "fixed"]
    crossing: float | None


def sample_states(
    trajectories: Sequence[Trajectory], states: int, length: int, seed: int
) -> list[tuple[int, int]]:
    """``(trajectory, step)`` pairs, distinct, drawn over all states of all trajectories; in stable order."""
    everything = len(trajectories) * length
    chosen = generator("calibrate", seed).choice(everything, size=min(states, everything), replace=False)
    return [(int(c) // length, int(c) % length) for c in np.sort(chosen)]


def measure(
    model: DiffusionLM,
    trajectories: Sequence[Trajectory],
    states: int,
    seed: int,
    batch_size: int,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Curve:
    """The curve of ``model`` (the base, no adapter) on sampled states, with the student's prompt."""
    length = len(trajectories[0].response_ids)
    pairs = sample_states(trajectories, states, length, seed)
    sums_2L, counts_2L = np.zeros((2, length)), np.zeros((2, length), dtype=np.int64)
    # Neighbours in length share a batch: less padding. The sums are over float64, so the order hardly shows.
    pairs.sort(key=lambda pair: len(trajectories[pair[0]].student_prompt_ids))
    for start in range(0, len(pairs), batch_size):
        part = pairs[start : start + batch_size]
        offsets_N, in_text_N, confidence_N = _confidences(model, trajectories, part)
        for row, chosen_N in enumerate((np.ones_like(in_text_N), in_text_N)):
            at = offsets_N[chosen_N] - 1
            sums_2L[row] += np.bincount(at, confidence_N[chosen_N], minlength=length)
            counts_2L[row] += np.bincount(at, minlength=length)
        on_batch(start + len(part), len(pairs))
    means_2L = np.divide(sums_2L, counts_2L, out=np.zeros_like(sums_2L), where=counts_2L > 0)
    return Curve(means_2L[0], counts_2L[0], means_2L[1], counts_2L[1], len(pairs))


@torch.no_grad()
def _confidences(
    model: DiffusionLM, trajectories: Sequence[Trajectory], pairs: Sequence[tuple[int, int]]
) -> tuple[IntArray, NDArray[np.bool_], FloatArray]:
    """Offset, whether the token is text (up to the first end-of-text), and confidence of every masked position."""
    rows, first, offsets, text, labels, index = [], [], [], [], [], []
    for r, step in pairs:
        trajectory = trajectories[r]
        response_L = np.asarray(trajectory.response_ids, dtype=np.int64)
        revealed_at_L = np.asarray(trajectory.revealed_at, dtype=np.int64)
        masked = np.nonzero(masked_at(revealed_at_L, step))[0]
        ends = np.nonzero(response_L == model.eos_token_id)[0]
        end = int(ends[0]) if len(ends) else len(response_L)
        prompt = trajectory.student_prompt_ids
        rows.append([*prompt, *state_at(response_L, revealed_at_L, step, model.mask_token_id).tolist()])
        first.append(len(prompt))
        offsets.append(revealed_at_L[masked] - step)
        text.append(masked <= end)
        labels.append(response_L[masked])
        index.append(masked)
    device = next(model.parameters()).device
    ids_BL, mask_BL = right_pad(rows, model.eos_token_id, device)
    padded = len({len(row) for row in rows}) > 1
    hidden_BLD = model.hidden(ids_BL, mask_BL if padded else None)
    flat_N = np.concatenate([b * ids_BL.shape[1] + first[b] + index[b] for b in range(len(rows))])
    label_N = torch.from_numpy(np.concatenate(labels)).to(device)
    hidden_ND = hidden_BLD.flatten(0, 1).index_select(0, torch.from_numpy(flat_N).to(device))
    parts = []
    chunk = max(1, (1 << 26) // model.vocab_size)
    for start in range(0, len(flat_N), chunk):
        logits_NV = model.head(hidden_ND[start : start + chunk]).float()
        chosen_N = logits_NV.gather(1, label_N[start : start + chunk, None])[:, 0]
        parts.append((chosen_N - logits_NV.logsumexp(-1)).exp())
    confidence_N = torch.cat(parts).double().cpu().numpy()
    return np.concatenate(offsets), np.concatenate(text), confidence_N


def smooth(curve_L: FloatArray, count_L: IntArray, width: int) -> FloatArray:
    """Centred, count-weighted mean over ``width`` offsets (fewer at the ends); the value itself without counts.

    An even width reaches one further to the right.
    """
    left, right = (width - 1) // 2, width // 2
    out_L = np.zeros_like(curve_L)
    for i in range(len(curve_L)):
        part = slice(max(0, i - left), i + right + 1)
        weight = count_L[part].sum()
        out_L[i] = (curve_L[part] * count_L[part]).sum() / weight if weight else curve_L[i]
    return out_L


def read_window(
    smoothed_L: FloatArray, count_L: IntArray, threshold: float, cap: int, fixed: int | None = None
) -> Window:
    """The last offset before the smoothed curve first falls below ``threshold``, at least 1.

    A curve that never falls below gives ``cap``; a ``fixed`` window is taken as it is, with the crossing told all
    the same. Offsets that no state had (the far end of a small sample) are not read.
    """
    seen = np.nonzero(count_L > 0)[0]
    below = [int(i) for i in seen if smoothed_L[i] < threshold]
    crossing: float | None = None
    window = cap
    if below:
        at = below[0]
        window = max(1, at)  # column ``at`` is offset at + 1, so the last good offset is ``at``
        crossing = 1.0
        if at > 0:
            before, after = float(smoothed_L[at - 1]), float(smoothed_L[at])
            crossing = at + (before - threshold) / (before - after)
    if fixed is not None:
        return Window(fixed, threshold, bool(below), "fixed", crossing)
    return Window(window, threshold, bool(below), "calibrated" if below else "cap", crossing)

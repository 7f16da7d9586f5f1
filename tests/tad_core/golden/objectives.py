"""What each objective masks, learns and loses on fixed input, without last bits that a machine rounds otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tad_core.config import DistillConfig
from tad_core.config.objectives import OBJECTIVES
from tad_core.objectives import make_objective
from tad_core.objectives.base import Marks, Objective, Rows

LENGTH, STATES, VOCABULARY = 48, 5, 7
WINDOW = 6


def objective_output(name: str) -> Any:
    """Terms, and at three parts of a run the marks of some states and the loss on fixed logits."""
    made = make_objective(
        DistillConfig(objective=name, states_per_trajectory=LENGTH),
        WINDOW if OBJECTIVES[name].windowed else None,
    )
    rng = np.random.default_rng(5)
    revealed_at_BL = np.stack([rng.permutation(LENGTH) + 1 for _ in range(STATES)])
    draws_B = made.draws("p", LENGTH, STATES, 1)
    found: dict[str, Any] = {
        "terms": [[t.name, t.weight, t.needs_teacher, t.needs_snapshot] for t in made.terms]
    }
    for progress in (0.0, 0.4, 0.9):
        marks = made.mark(revealed_at_BL, draws_B, progress)
        found[f"{progress}"] = {
            "masked": _bits(marks.masked_BL),
            "rows": {term.name: _bits(marks.rows[term.name]) for term in made.terms},
            "totals": list(made.totals(marks)),
            "loss": round(_loss(made, marks), 3),
        }
    return found


def _bits(chosen: np.ndarray) -> str:
    return np.packbits(chosen).tobytes().hex()


def _loss(made: Objective, marks: Marks) -> float:
    """The loss of one step of these states, on logits that depend on the place alone."""
    rng = np.random.default_rng(6)
    shape = (*marks.masked_BL.shape, VOCABULARY)
    student, other = (torch.from_numpy(3 * rng.standard_normal(shape)).float() for _ in range(2))
    labels = torch.from_numpy(rng.integers(0, VOCABULARY, shape[:2]))
    rows = []
    for term in made.terms:
        state_N, place_N = np.nonzero(marks.rows[term.name])
        weights = np.ones(marks.masked_BL.shape, dtype=np.float32)
        weights = (
            weights
            * marks.weights_BL.get(term.name, 1)
            * (1 if marks.weight_B is None else marks.weight_B[:, None])
        )
        at = torch.from_numpy(state_N), torch.from_numpy(place_N)
        weights_N = None if term.joined else torch.from_numpy(weights.astype(np.float32))[at]
        rows.append(Rows(student[at], labels[at], other[at], weights_N, at[0], shape[0]))
    return made.loss(rows, lambda z: z, torch.tensor(made.totals(marks))).loss.item()

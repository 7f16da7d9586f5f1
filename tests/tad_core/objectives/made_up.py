"""An objective that nobody published: the last masked token, and all of them against the teacher."""

from __future__ import annotations

import numpy as np

from tad_core.config import DistillConfig
from tad_core.objectives.base import IntArray, Marks, Objective, Term
from tad_core.objectives.tad import row_loss
from tad_core.trajectory.states import sample_steps


class MadeUp(Objective):
    """Three terms on three inputs a state."""

    copies = 3

    def __init__(self, config: DistillConfig, window: int | None, compiled: bool = False) -> None:
        self.terms = (
            Term("last", row_loss("hard", 1.0, compiled)),
            Term("first", row_loss("hard", 1.0, compiled), weight=0.5),
            Term("told", row_loss("soft", 2.0, compiled), weight=0.25, needs_teacher=True),
        )

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        return sample_steps(f"made-up/{epoch}/{name}", length, count)

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        masked_BL = np.tile(revealed_at_BL > draws_B[:, None], (3, 1))
        last_BL, first_BL = (np.zeros_like(masked_BL) for _ in range(2))
        for b, masked_L in enumerate(masked_BL):
            places = np.flatnonzero(masked_L)
            last_BL[b, places[-1]] = first_BL[b, places[0]] = True
        return Marks(masked_BL, {"last": last_BL, "first": first_BL, "told": masked_BL})

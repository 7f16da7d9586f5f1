"""A window that follows the student's confidence as it trains; beyond the paper, which reads it once, of the base.

In every forward of training the student says how likely it finds the trajectory's token at each masked position. Their
mean by the distance to the reveal is the curve that ``calibration`` measures of the base: the window is read from it as
there, every so many steps, of the states trained on since the last reading. No forward is made for it. Dropout is on in
these, and near tokens are those that are pushed up, so that a window tends to grow, and may be given an end (``most``);
it can also shrink.

Shapes: L offsets (offset o is bin o - 1), N rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from tad_core.config.terms import FollowConfig
from tad_core.objectives.base import IntArray
from tad_core.objectives.learner import Learner
from tad_core.objectives.tally import AddUp, Tally
from tad_core.windows import read_window, smooth


class FollowedWindow(Learner):
    """The window at each part of the run: ``start`` until the first reading.

    The first batch of a step is made before the step before it is done. A reading is of use from the step after the
    next on, so that it does not matter how far batches are made ahead, within a step.
    """

    account = "offset"
    of_text = True

    def __init__(self, start: int, config: FollowConfig) -> None:
        assert config.steps is not None, "a window that follows is read again after some steps"
        self._every, self._threshold = config.steps, config.threshold
        self._smoothing, self._most = config.smoothing, config.most
        self._tally: Tally | None = None
        self._readings: list[tuple[float, int]] = [(0.0, start)]

    def at(self, progress: float) -> int:
        """The window of steps at this part of the run, 0 to 1."""
        return next(window for first, window in reversed(self._readings) if first <= progress)

    def bins(self, revealed_at_BL: IntArray, steps_B: IntArray) -> IntArray:
        """The bin of each position of some states; -1 for what they show."""
        if self._tally is None:
            self._tally = Tally(revealed_at_BL.shape[1])
        bins_BL: IntArray = np.maximum(revealed_at_BL - steps_B[:, None], 0) - 1
        return bins_BL

    def watch(self, term: str, bin_N: Tensor, logits_NV: Tensor, labels_N: Tensor, losses_N: Tensor) -> None:
        """Count the student's probabilities of the trajectory's tokens."""
        assert self._tally is not None, "rows are those of states that were marked"
        if term == "near_soft":  # its rows are those of near, too
            return
        chosen_N = logits_NV.gather(1, labels_N[:, None])[:, 0].float()
        self._tally.add(bin_N, (chosen_N - torch.logsumexp(logits_NV.float(), dim=-1)).exp())

    def after_step(self, done: int, steps: int, add_up: AddUp) -> None:
        """After ``done`` of ``steps`` steps: read the window, if it is time."""
        assert self._tally is not None, "a step has states"
        self._tally.close_step(add_up)
        if done % self._every:
            return
        mean_L, count_L = (values.cpu().numpy() for values in self._tally.means())
        if count_L.sum():
            whole_L = count_L.astype("int64")
            curve_L = smooth(mean_L, whole_L, self._smoothing)
            found = read_window(curve_L, whole_L, self._threshold, len(whole_L))
            self._readings.append(((done + 1) / steps, min(found.window, self._most or found.window)))
        # The one in use, and the one to come.
        self._readings = self._readings[-2:]
        self._tally.clear()

    def figures(self, progress: float) -> dict[str, float]:
        """The window."""
        return {"window": self.at(progress)}

    def state(self) -> dict[str, Tensor]:
        """What a resumed run has to know."""
        found = {"readings": torch.tensor(self._readings, dtype=torch.float64)}
        if self._tally is not None:
            found["offsets"] = self._tally.sums_2K
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse."""
        self._readings = [(first, int(window)) for first, window in state["readings"].tolist()]
        if "offsets" in state:
            self._tally = Tally(state["offsets"].shape[1])
            self._tally.sums_2K = state["offsets"].clone()

"""Several training runs of one set-up, seen as one measurement.

A number is the mean over runs (training seeds); its 95 % interval resamples both the runs and the problems, the
problems once for all runs, models and ways of decoding, so that what they have in common cancels in differences.

Shapes: S runs, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tad_core.errors import DataError
from tad_core.evaluation.bootstrap import Bootstrap, Estimate, FloatArray, Interval, ModelWay, estimate
from tad_core.rng import generator


@dataclass(frozen=True)
class Spread:
    """A number over runs: its mean with an interval, and what each run gave."""

    mean: Estimate
    each: list[float]

    def negated(self) -> Spread:
        """Of the difference the other way round."""
        span = self.mean.interval
        turned = None if span is None else Interval(-span.high, -span.low)
        return Spread(Estimate(-self.mean.value, turned), [-value for value in self.each])

    def apart_from(self, other: Spread) -> bool | None:
        """Whether the two intervals share no point; None where one has none."""
        mine, theirs = self.mean.interval, other.mean.interval
        return None if mine is None or theirs is None else not mine.overlaps(theirs)


class Replicates:
    """One task in several runs over the same problems."""

    def __init__(self, boots: Sequence[Bootstrap]) -> None:
        """Take the resampled figures of each run, which must have drawn the same problems.

        Raises:
            DataError: when the runs are of different tasks, problems or numbers of resamples.
        """
        if len({(b.task, b.problems, _rows(b)) for b in boots}) != 1:
            raise DataError("runs: they were measured on different problems; evaluate all with one config")
        self._boots = boots
        self.task, self.problems = boots[0].task, boots[0].problems
        runs, resamples = len(boots), _rows(boots[0]) - 1
        share = np.full(runs, 1 / runs)
        drawn_RS = generator("evaluation.replicates", self.task).multinomial(runs, share, size=resamples)
        self._weights_SR = np.concatenate([share[None, :], drawn_RS / runs]).T

    @property
    def models(self) -> list[str]:
        """The models every run has."""
        return [m for m in self._boots[0].aup if all(m in boot.aup for boot in self._boots)]

    def accuracy(self, way: ModelWay) -> Spread | None:
        """Accuracy in percent; None where a run lacks this way."""
        return self._spread(lambda boot: boot.accuracy.get(way))

    def tpf(self, way: ModelWay) -> Spread | None:
        """Tokens per forward; None where a run lacks this way."""
        return self._spread(lambda boot: boot.tpf.get(way))

    def aup(self, model: str) -> Spread:
        """AUP."""
        found = self._spread(lambda boot: boot.aup.get(model))
        assert found is not None, model
        return found

    def accuracy_gain(self, way: ModelWay, over: ModelWay) -> Spread | None:
        """Paired difference of accuracies, in points."""
        return self._spread(lambda boot: _minus(boot.accuracy.get(way), boot.accuracy.get(over)))

    def tpf_gain(self, way: ModelWay, over: ModelWay) -> Spread | None:
        """Paired difference of tokens per forward."""
        return self._spread(lambda boot: _minus(boot.tpf.get(way), boot.tpf.get(over)))

    def aup_gain(self, model: str, over: str) -> Spread | None:
        """Paired difference of AUPs."""
        return self._spread(lambda boot: _minus(boot.aup.get(model), boot.aup.get(over)))

    def aup_ratio(self, model: str, over: str) -> Spread | None:
        """Mean AUP of a model over that of another; None where the other solved nothing in some run."""
        mine_SR, theirs_SR = self._stack(lambda b: b.aup.get(model)), self._stack(lambda b: b.aup.get(over))
        if mine_SR is None or theirs_SR is None or (theirs_SR[:, 0] == 0).any():
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio_R = (mine_SR * self._weights_SR).sum(0) / (theirs_SR * self._weights_SR).sum(0)
        # A resample in which neither solved anything tells them apart as little as one in which they tie.
        ratio_R = np.nan_to_num(ratio_R, nan=1.0, posinf=np.inf)
        return Spread(estimate(ratio_R), (mine_SR[:, 0] / theirs_SR[:, 0]).tolist())

    def _stack(self, pick: Callable[[Bootstrap], FloatArray | None]) -> FloatArray | None:
        rows = [row for boot in self._boots if (row := pick(boot)) is not None]
        return np.stack(rows) if len(rows) == len(self._boots) else None

    def _spread(self, pick: Callable[[Bootstrap], FloatArray | None]) -> Spread | None:
        values_SR = self._stack(pick)
        if values_SR is None:
            return None
        return Spread(estimate((values_SR * self._weights_SR).sum(0)), values_SR[:, 0].tolist())


def _rows(boot: Bootstrap) -> int:
    return min(len(values) for values in boot.aup.values())


def _minus(values: FloatArray | None, other: FloatArray | None) -> FloatArray | None:
    return None if values is None or other is None else values - other

"""95 % intervals by resampling problems.

A resample draws problems with replacement and serves every model and every way of decoding alike, so that what
models have in common (hard and easy problems) cancels in a difference; ``y_max`` of AUP is taken anew in each
resample, since it is estimated from the same problems.

Shapes: W ways (model, method, threshold), P problems, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tad_core.errors import DataError
from tad_core.evaluation.aup import DEFAULT_ALPHA, aup
from tad_core.evaluation.records import Record
from tad_core.rng import generator

FloatArray = NDArray[np.float64]

#: A model and one way of decoding: (model, method, threshold).
ModelWay = tuple[str, str, float]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, both ends in the unit of the number it belongs to."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share a point."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Estimate:
    """A number with its percentile interval; None where nothing was resampled."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Bootstrap:
    """All models of one task over the same problems; row 0 of each array is the sample itself."""

    task: str
    problems: int
    accuracy: dict[ModelWay, FloatArray]
    tpf: dict[ModelWay, FloatArray]
    aup: dict[str, FloatArray]

    def aup_of(self, model: str) -> Estimate:
        """AUP of a model."""
        return estimate(self.aup[model])

    def accuracy_gain(self, way: ModelWay, over: ModelWay) -> Estimate:
        """Paired difference of accuracies, in points."""
        return estimate(self.accuracy[way] - self.accuracy[over])

    def tpf_gain(self, way: ModelWay, over: ModelWay) -> Estimate:
        """Paired difference of tokens per forward."""
        return estimate(self.tpf[way] - self.tpf[over])

    def aup_ratio(self, model: str, over: str) -> Estimate | None:
        """Paired ratio of AUP; None where the other model solved nothing, which has no ratio."""
        if self.aup[over][0] == 0:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            # A resample in which neither solved anything tells them apart as little as one in which they tie.
            return estimate(np.nan_to_num(self.aup[model] / self.aup[over], nan=1.0, posinf=np.inf))


def mean_aup(boots: Sequence[Bootstrap], model: str) -> Estimate:
    """Mean over tasks. Tasks are resampled independently, so the mean of their resamples is a resample.

    There is no interval where one of the tasks has none.
    """
    rows = min(len(boot.aup[model]) for boot in boots)
    return estimate(np.mean([boot.aup[model][:rows] for boot in boots], axis=0))


def bootstrap_aup(
    records: Sequence[Record],
    resamples: int = 1000,
    seed: int = 0,
    alpha: float = DEFAULT_ALPHA,
) -> Bootstrap:
    """Resample the problems of one task.

    Args:
        records: of one task, every model and way over the same problems.
        resamples: R; 0 gives the plain figures without intervals. So does a single problem: resampled, it is
            that problem again, and an interval of no width would be a false promise.
        seed: of the resamples; together with the task's name it fixes them.
        alpha: of AUP.

    Raises:
        DataError: when records are of several tasks, or of different problems.
    """
    tasks = {r.task for r in records}
    if len(tasks) != 1:
        raise DataError(f"records: of {len(tasks)} tasks ({', '.join(sorted(tasks))}); give those of one")
    task = tasks.pop()
    cells: dict[ModelWay, dict[str, Record]] = {}
    for record in records:
        cells.setdefault((record.model, record.method, record.threshold), {})[record.problem_id] = record
    ids = _common_ids(task, cells)
    answers = {}
    for way, found in cells.items():
        rows = [found[i] for i in ids]
        answers[way] = Answers(
            correct_P=np.array([float(r.correct) for r in rows]),
            tokens_P=np.array([r.tokens for r in rows], dtype=np.float64),
            forwards_P=np.array([r.forwards for r in rows], dtype=np.float64),
        )
    models = dict.fromkeys(model for model, _, _ in cells)
    curves = {model: [way for way in cells if way[0] == model] for model in models}
    return resample(task, answers, curves, resamples, seed, alpha)


@dataclass(frozen=True)
class Answers:
    """What one way gave on each problem, in one order for all ways: right or wrong, tokens revealed, forwards."""

    correct_P: FloatArray
    tokens_P: FloatArray
    forwards_P: FloatArray


def resample(
    task: str,
    answers: Mapping[ModelWay, Answers],
    curves: Mapping[str, Sequence[ModelWay]],
    resamples: int = 1000,
    seed: int = 0,
    alpha: float = DEFAULT_ALPHA,
) -> Bootstrap:
    """Resample the problems of one task, of which every way has the answers.

    Args:
        task: its name.
        answers: of every way, over the same problems in the same order.
        curves: for each name the ways that AUP is taken over; a way may be in several.
        resamples: see ``bootstrap_aup``.
        seed: see ``bootstrap_aup``.
        alpha: of AUP.
    """
    count = len(next(iter(answers.values())).correct_P)
    weights_RP = np.ones((1, count))
    if resamples and count > 1:
        share = np.full(count, 1 / count)
        drawn_RP = generator("evaluation.bootstrap", seed, task).multinomial(count, share, size=resamples)
        weights_RP = np.concatenate([weights_RP, drawn_RP.astype(np.float64)])
    accuracy, tpf = {}, {}
    for way, found in answers.items():
        accuracy[way] = 100 * (weights_RP @ found.correct_P) / count
        tpf[way] = (weights_RP @ found.tokens_P) / (weights_RP @ found.forwards_P)
    return Bootstrap(task, count, accuracy, tpf, _aups(accuracy, tpf, curves, alpha))


def _aups(
    accuracy: dict[ModelWay, FloatArray],
    tpf: dict[ModelWay, FloatArray],
    curves: Mapping[str, Sequence[ModelWay]],
    alpha: float,
) -> dict[str, FloatArray]:
    y_max_R = np.max(np.stack(list(accuracy.values())), axis=0)
    out = {}
    for name, ways in curves.items():
        x_RW = np.stack([tpf[w] for w in ways], axis=1).tolist()
        y_RW = np.stack([accuracy[w] for w in ways], axis=1).tolist()
        values = [
            aup(list(zip(x, y, strict=True)), float(y_max), alpha)
            for x, y, y_max in zip(x_RW, y_RW, y_max_R, strict=True)
        ]
        out[name] = np.array(values)
    return out


def _common_ids(task: str, cells: dict[ModelWay, dict[str, Record]]) -> list[str]:
    (first, rows), *others = cells.items()
    ids = sorted(rows)
    for way, found in others:
        if sorted(found) != ids:
            raise DataError(
                f"records: task {task!r}: {way} was measured on other problems than {first} ({len(found)} and "
                f"{len(ids)}); evaluate every model with the same evaluate.tasks"
            )
    return ids


def estimate(values_R: FloatArray) -> Estimate:
    """The number in row 0 with the percentile interval of the resamples in the others."""
    value, resampled_R = float(values_R[0]), values_R[1:]
    if not len(resampled_R):
        return Estimate(value, None)
    with np.errstate(invalid="ignore"):
        low, high = (float(end) for end in np.percentile(resampled_R, [2.5, 97.5]))
    return Estimate(value, Interval(low, high) if np.isfinite([low, high]).all() else None)

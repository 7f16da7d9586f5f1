"""95 % intervals by resampling problems.

A resample draws problems with replacement and serves every model and every way of decoding alike, so that what
models have in common (hard and easy problems) cancels in a difference; ``y_max`` of AUP is taken anew in each
resample, since it is estimated from the same problems.

Shapes: W ways (model, method, threshold), P problems, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """An estimate with its 95 % percentile interval; without resamples both ends are the value itself."""

    value: float
    low: float
    high: float

    def apart_from(self, other: Interval) -> bool:
        """Whether the two intervals share no point."""
        return self.low > other.high or other.low > self.high


@dataclass(frozen=True)
class Bootstrap:
    """All models of one task over the same problems; row 0 of each array is the sample itself."""

    task: str
    problems: int
    accuracy: dict[ModelWay, FloatArray]
    tpf: dict[ModelWay, FloatArray]
    aup: dict[str, FloatArray]

    def accuracy_of(self, way: ModelWay) -> Interval:
        """Accuracy in percent."""
        return _interval(self.accuracy[way])

    def tpf_of(self, way: ModelWay) -> Interval:
        """Tokens per forward."""
        return _interval(self.tpf[way])

    def aup_of(self, model: str) -> Interval:
        """AUP of a model."""
        return _interval(self.aup[model])

    def accuracy_gain(self, way: ModelWay, over: ModelWay) -> Interval:
        """Paired difference of accuracies, in points."""
        return _interval(self.accuracy[way] - self.accuracy[over])

    def tpf_gain(self, way: ModelWay, over: ModelWay) -> Interval:
        """Paired difference of tokens per forward."""
        return _interval(self.tpf[way] - self.tpf[over])

    def aup_gain(self, model: str, over: str) -> Interval:
        """Paired difference of AUP."""
        return _interval(self.aup[model] - self.aup[over])

    def aup_ratio(self, model: str, over: str) -> Interval:
        """Paired ratio of AUP; infinite where the other model solved nothing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return _interval(np.nan_to_num(self.aup[model] / self.aup[over], nan=1.0, posinf=np.inf))


def bootstrap_aup(
    records: Sequence[Record],
    resamples: int = 1000,
    seed: int = 0,
    alpha: float = DEFAULT_ALPHA,
    text_only: bool = False,
) -> Bootstrap:
    """Resample the problems of one task.

    Args:
        records: of one task, every model and way over the same problems.
        resamples: R; 0 gives the plain figures.
        seed: of the resamples; together with the task's name it fixes them.
        alpha: of AUP.
        text_only: count the tokens before the first end-of-text instead of all that were revealed.

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
    weights_RP = np.ones((1, len(ids)))
    if resamples:
        share = np.full(len(ids), 1 / len(ids))
        drawn_RP = generator("evaluation.bootstrap", seed, task).multinomial(len(ids), share, size=resamples)
        weights_RP = np.concatenate([weights_RP, drawn_RP.astype(np.float64)])
    accuracy, tpf = {}, {}
    for way, found in cells.items():
        rows = [found[i] for i in ids]
        tokens = [r.tokens_text if text_only else r.tokens for r in rows]
        accuracy[way] = 100 * (weights_RP @ np.array([float(r.correct) for r in rows])) / len(ids)
        tpf[way] = (weights_RP @ np.array(tokens, dtype=np.float64)) / (
            weights_RP @ np.array([r.forwards for r in rows], dtype=np.float64)
        )
    return Bootstrap(task, len(ids), accuracy, tpf, _aups(accuracy, tpf, alpha))


def _aups(
    accuracy: dict[ModelWay, FloatArray], tpf: dict[ModelWay, FloatArray], alpha: float
) -> dict[str, FloatArray]:
    y_max_R = np.max(np.stack(list(accuracy.values())), axis=0)
    out = {}
    for model in dict.fromkeys(model for model, _, _ in accuracy):
        ways = [way for way in accuracy if way[0] == model]
        x_RW = np.stack([tpf[w] for w in ways], axis=1).tolist()
        y_RW = np.stack([accuracy[w] for w in ways], axis=1).tolist()
        values = [
            aup(list(zip(x, y, strict=True)), float(y_max), alpha)
            for x, y, y_max in zip(x_RW, y_RW, y_max_R, strict=True)
        ]
        out[model] = np.array(values)
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


def _interval(values_R: FloatArray) -> Interval:
    resampled = values_R[1:] if len(values_R) > 1 else values_R
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(float(values_R[0]), float(low), float(high))

"""Compute ``Scores`` from the records of all models.

AUP depends on the best accuracy of a task over *all* models, so it can only be computed here, where they meet.
Intervals come from one resampling of the problems that serves every model (``evaluation.bootstrap``), so that
differences and ratios are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tad_core.config import EvaluateConfig
from tad_core.evaluation import bootstrap as resampling
from tad_core.evaluation.aup import DROP_BELOW, aup
from tad_core.evaluation.bootstrap import Bootstrap, ModelWay, bootstrap_aup
from tad_core.evaluation.records import Record, points
from tad_core.report.scores import (
    ENTROPY,
    TOKEN_BY_TOKEN,
    Average,
    Comparison,
    Gain,
    Interval,
    Point,
    Score,
    Scores,
    TaskScores,
    wilson,
)
from tad_core.report.theme import ordered

PAIRS = (
    ("sft", "base"),
    ("quality", "base"),
    ("speed", "base"),
    ("quality", "sft"),
    ("speed", "sft"),
    ("speed", "quality"),
)
"""Which models are held against which."""


def score(name: str, config: EvaluateConfig, records: Sequence[Record]) -> Scores:
    """Every number of the table.

    Raises:
        DataError: when two models were evaluated on different problems of a task.
    """
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    boots = {t: bootstrap_aup(rs, config.bootstrap, alpha=config.aup_alpha) for t, rs in by_task.items()}
    tasks = [_score_task(boots[task], rs, config) for task, rs in by_task.items()]
    models = ordered(record.model for record in records)
    average = [_average(m, tasks, list(boots.values()), config) for m in models] if len(tasks) > 1 else []
    return Scores(
        name=name,
        operating_threshold=config.operating_threshold,
        aup_alpha=config.aup_alpha,
        bootstrap=config.bootstrap,
        tasks=tasks,
        average=average,
    )


def _score_task(boot: Bootstrap, records: Sequence[Record], config: EvaluateConfig) -> TaskScores:
    found = points(records)
    y_max = max(p["accuracy"] for p in found)
    scores = []
    for model in ordered(p["model"] for p in found):
        own = sorted((p for p in found if p["model"] == model), key=lambda p: (p["tpf"], -p["accuracy"]))
        first = own[0]["accuracy"]
        scores.append(
            Score(
                model=model,
                points=[_point(p, counted=p["accuracy"] >= first - DROP_BELOW) for p in own],
                aup=aup([(p["tpf"], p["accuracy"]) for p in own], y_max, config.aup_alpha),
                aup_interval=_interval(boot.aup_of(model), boot, config),
                aup_text=aup([(p["tpf_text"], p["accuracy"]) for p in own], y_max, config.aup_alpha),
            )
        )
    return TaskScores(
        task=boot.task,
        problems=boot.problems,
        y_max=y_max,
        scores=scores,
        comparisons=[
            c for model, over in PAIRS if (c := _compare(boot, scores, model, over, config)) is not None
        ],
    )


def _point(row: dict[str, float | int | str], *, counted: bool) -> Point:
    accuracy, problems = float(row["accuracy"]), int(row["problems"])
    return Point(
        method=str(row["method"]),
        threshold=float(row["threshold"]),
        accuracy=accuracy,
        accuracy_interval=wilson(round(accuracy * problems / 100), problems),
        tpf=float(row["tpf"]),
        tpf_text=float(row["tpf_text"]),
        tokens_per_s=float(row["tokens_per_s"]),
        counted=counted,
    )


# --- intervals --------------------------------------------------------------------------------------


def _compare(
    boot: Bootstrap, scores: Sequence[Score], model: str, over: str, config: EvaluateConfig
) -> Comparison | None:
    by_model = {s.model: s for s in scores}
    if model not in by_model or over not in by_model:
        return None
    single: tuple[str, float] = (TOKEN_BY_TOKEN, 0.0)
    operating = (ENTROPY, config.operating_threshold)

    def gain(kind: str, way: tuple[str, float]) -> Gain | None:
        pair: tuple[ModelWay, ModelWay] = (model, *way), (over, *way)
        if not all(p in boot.accuracy for p in pair):
            return None
        measure = boot.accuracy_gain if kind == "accuracy" else boot.tpf_gain
        return _gain(measure(*pair), boot, config)

    mine, theirs = by_model[model].aup_interval, by_model[over].aup_interval
    return Comparison(
        model=model,
        over=over,
        accuracy_token_by_token=gain("accuracy", single),
        accuracy=gain("accuracy", operating),
        tpf=gain("tpf", operating),
        aup_ratio=_gain(boot.aup_ratio(model, over), boot, config),
        aup_apart=None if mine is None or theirs is None else not mine.overlaps(theirs),
    )


def _resampled(boot: Bootstrap, config: EvaluateConfig) -> bool:
    # One problem resampled is that problem again: an interval of no width would be a false promise.
    return config.bootstrap > 0 and boot.problems > 1


def _interval(found: resampling.Interval, boot: Bootstrap, config: EvaluateConfig) -> Interval | None:
    if not _resampled(boot, config) or not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    return Interval(low=found.low, high=found.high)


def _gain(found: resampling.Interval, boot: Bootstrap, config: EvaluateConfig) -> Gain | None:
    if not math.isfinite(found.value):
        return None
    return Gain(value=found.value, interval=_interval(found, boot, config))


# --- the average ------------------------------------------------------------------------------------


def _average(
    model: str, tasks: Sequence[TaskScores], boots: Sequence[Bootstrap], config: EvaluateConfig
) -> Average:
    """Mean over tasks. Tasks are resampled independently, so the mean of their resamples is a resample."""
    scores = [s for t in tasks if (s := t.of(model)) is not None]
    single = [s.token_by_token for s in scores]
    operating = [s.at(config.operating_threshold) for s in scores]
    interval = None
    if len(scores) == len(tasks) and all(_resampled(b, config) for b in boots):
        low, high = np.percentile(np.mean([b.aup[model][1:] for b in boots], axis=0), [2.5, 97.5])
        interval = Interval(low=float(low), high=float(high))
    return Average(
        model=model,
        token_by_token=_mean(single, "accuracy"),
        accuracy=_mean(operating, "accuracy"),
        tpf=_mean(operating, "tpf"),
        tpf_text=_mean(operating, "tpf_text"),
        tokens_per_s=_mean(operating, "tokens_per_s"),
        aup=sum(s.aup for s in scores) / len(scores),
        aup_interval=interval,
    )


def _mean(found: Sequence[Point | None], field: str) -> float | None:
    values = [float(getattr(p, field)) for p in found if p is not None]
    return sum(values) / len(values) if len(values) == len(found) else None

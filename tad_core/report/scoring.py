"""Compute ``Scores`` from the records of all models.

AUP depends on the best accuracy of a task over *all* models, so it can only be computed here, where they meet.
Intervals come from one resampling of the problems that serves every model (``evaluation.bootstrap``), so that
differences and ratios are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tad_core.config import EvaluateConfig
from tad_core.evaluation.aup import DROP_BELOW, aup, leaderboard_aup
from tad_core.evaluation.bootstrap import Bootstrap, Estimate, ModelWay, bootstrap_aup, mean_aup
from tad_core.evaluation.records import Record, points
from tad_core.report.lineup import Lineup
from tad_core.report.scores import (
    SINGLE,
    Average,
    Comparison,
    Operating,
    Point,
    Score,
    Scores,
    TaskScores,
    wilson,
)


def pairs(models: Sequence[str]) -> list[tuple[str, str]]:
    """Which models, in reading order, are held against which: each against all before it."""
    return [(model, over) for i, over in enumerate(models) for model in models[i + 1 :]]


def score(
    name: str,
    config: EvaluateConfig,
    records: Sequence[Record],
    lineup: Lineup,
    own: Mapping[str, tuple[str, float]] | None = None,
) -> Scores:
    """Every number of the table.

    Args:
        name: of the set-up.
        config: settings of the report and the run's decoder.
        records: of all models.
        lineup: their order.
        own: the way of the headline row, method and threshold, of models that have one of their own.

    Raises:
        DataError: when two models were evaluated on different problems of a task.
    """
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    boots = {t: bootstrap_aup(rs, config.bootstrap, alpha=config.aup_alpha) for t, rs in by_task.items()}
    operating = Operating((config.decode.method, config.operating_threshold), own or {})
    tasks = [_score_task(boots[task], rs, config, operating, lineup) for task, rs in by_task.items()]
    models = lineup.ordered(record.model for record in records)
    average = [_average(m, tasks, list(boots.values()), operating) for m in models] if len(tasks) > 1 else []
    return Scores(
        name=name,
        operating_threshold=config.operating_threshold,
        aup_alpha=config.aup_alpha,
        bootstrap=config.bootstrap,
        tasks=tasks,
        average=average,
        operating_method=config.decode.method,
        operating_own=dict(operating.own),
    )


def _score_task(
    boot: Bootstrap,
    records: Sequence[Record],
    config: EvaluateConfig,
    operating: Operating,
    lineup: Lineup,
) -> TaskScores:
    found = points(records)
    y_max = max(p["accuracy"] for p in found)
    scores, models = [], lineup.ordered(p["model"] for p in found)
    pairs_of = {model: _two_points(found, model, operating) for model in models}
    y_max_two = max((y for two in pairs_of.values() for _, y in two), default=None)
    for model in models:
        own = sorted((p for p in found if p["model"] == model), key=lambda p: (p["tpf"], -p["accuracy"]))
        first = own[0]["accuracy"]
        scores.append(
            Score(
                model=model,
                points=[_point(p, counted=p["accuracy"] >= first - DROP_BELOW) for p in own],
                aup=aup([(p["tpf"], p["accuracy"]) for p in own], y_max, config.aup_alpha),
                aup_interval=boot.aup_of(model).interval,
                aup_text=aup([(p["tpf_text"], p["accuracy"]) for p in own], y_max, config.aup_alpha),
                aup_leaderboard=leaderboard_aup(pairs_of[model], y_max_two, config.aup_alpha)
                if len(pairs_of[model]) == 2 and y_max_two is not None
                else None,
            )
        )
    return TaskScores(
        task=boot.task,
        problems=boot.problems,
        y_max=y_max,
        y_max_leaderboard=y_max_two,
        scores=scores,
        comparisons=[
            c
            for model, over in pairs(models)
            if (c := _compare(boot, scores, model, over, operating)) is not None
        ],
    )


def _two_points(
    found: Sequence[dict[str, Any]], model: str, operating: Operating
) -> list[tuple[float, float]]:
    """What the leaderboard has of a model: (TPF, accuracy) token by token, and at the operating threshold."""
    own = {(p["method"], p["threshold"]): (p["tpf"], p["accuracy"]) for p in found if p["model"] == model}
    return [own[way] for way in dict.fromkeys((SINGLE, operating.way(model))) if way in own]


def _point(row: dict[str, Any], *, counted: bool) -> Point:
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
        nfe=float(row["nfe"]),
        full_nfe=row["full_nfe"],
        computed_per_token=row["computed_per_token"],
        figures=row.get("figures", {}),
    )


# --- intervals --------------------------------------------------------------------------------------


def _compare(
    boot: Bootstrap, scores: Sequence[Score], model: str, over: str, operating: Operating
) -> Comparison | None:
    by_model = {s.model: s for s in scores}
    if model not in by_model or over not in by_model:
        return None
    fast = operating.way(model), operating.way(over)

    def gain(kind: str, mine: tuple[str, float], theirs: tuple[str, float]) -> Estimate | None:
        pair: tuple[ModelWay, ModelWay] = (model, *mine), (over, *theirs)
        if not all(p in boot.accuracy for p in pair):
            return None
        measure = boot.accuracy_gain if kind == "accuracy" else boot.tpf_gain
        return measure(*pair)

    mine, theirs = by_model[model].aup_interval, by_model[over].aup_interval
    return Comparison(
        model=model,
        over=over,
        accuracy_token_by_token=gain("accuracy", SINGLE, SINGLE),
        accuracy=gain("accuracy", *fast),
        tpf=gain("tpf", *fast),
        aup_ratio=boot.aup_ratio(model, over),
        aup_apart=None if mine is None or theirs is None else not mine.overlaps(theirs),
    )


# --- the average ------------------------------------------------------------------------------------


def _average(
    model: str, tasks: Sequence[TaskScores], boots: Sequence[Bootstrap], operating: Operating
) -> Average:
    scores = [s for t in tasks if (s := t.of(model)) is not None]
    single = [s.token_by_token for s in scores]
    fast = [s.at(operating) for s in scores]
    return Average(
        model=model,
        token_by_token=_mean(single, "accuracy"),
        accuracy=_mean(fast, "accuracy"),
        tpf=_mean(fast, "tpf"),
        tpf_text=_mean(fast, "tpf_text"),
        tokens_per_s=_mean(fast, "tokens_per_s"),
        aup=sum(s.aup for s in scores) / len(scores),
        aup_interval=mean_aup(boots, model).interval if len(scores) == len(tasks) else None,
    )


def _mean(found: Sequence[Point | None], field: str) -> float | None:
    values = [float(getattr(p, field)) for p in found if p is not None]
    return sum(values) / len(values) if len(values) == len(found) else None

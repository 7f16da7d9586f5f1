"""The numbers of a study: every cell as a point, every curve, and what is held against what on the same problems.

A curve is one variant under one decoder: the point decoded token by token, then the decoder's thresholds. Everything
over seeds is a mean with a 95 % interval that resamples seeds and problems together (``evaluation.replicates``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from tad_core.artifacts import ArtifactRef
from tad_core.config import BASE
from tad_core.errors import DataError
from tad_core.evaluation.aup import leaderboard_aup
from tad_core.evaluation.bootstrap import Answers, Bootstrap, ModelWay, resample
from tad_core.evaluation.records import ratio
from tad_core.evaluation.replicates import Replicates, Spread
from tad_core.stages.evaluate import RESULTS
from tad_core.study.config import MARK, Study
from tad_core.study.costs import Cost
from tad_core.study.run import Cell

_COUNTED = ["correct", "tokens", "forwards"]
_COLUMNS = ["threshold", "problem_id", *_COUNTED, "tokens_text", "full_forwards", "computed"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyPoint(_Record):
    """A cell at one threshold. Accuracy in percent, TPF in tokens per forward; seed is None for the base.

    ``nfe``, ``full_nfe`` and ``computed_per_token`` are those of ``evaluation.records.points``.
    """

    variant: str
    seed: int | None
    decoder: str
    threshold: float
    accuracy: float
    tpf: float
    tpf_text: float
    nfe: float
    full_nfe: float | None
    computed_per_token: float | None


class StudyCurve(_Record):
    """A variant under a decoder, over all seeds: at the decoder's operating threshold, and as a curve."""

    variant: str
    decoder: str
    accuracy: Spread
    tpf: Spread
    aup: Spread
    aup_leaderboard: list[float | None] = []
    """Of two points, token by token and at the operating threshold, for each seed; None where its code stops."""


class Paired(_Record):
    """``variant`` less ``over`` on the same seeds and problems, under one decoder."""

    variant: str
    over: str
    decoder: str
    accuracy: Spread
    tpf: Spread
    aup: Spread


class StudyResults(_Record):
    """Every number of a study; ``results.json`` is this as JSON."""

    version: int = 1
    name: str
    task: str
    problems: int
    seeds: list[int]
    states: int
    resamples: int
    aup_alpha: float
    y_max: list[float]
    """Best accuracy over all variants, decoders and thresholds, which AUP is weighted by; for each seed."""
    y_max_leaderboard: list[float] = []
    """The same over the two points of each variant and decoder."""
    variants: list[str]
    """The base first; those that every seed has."""
    left_out: list[str]
    """Variants that some seed or decoder lacks."""
    decoders: list[str]
    ours: str
    points: list[StudyPoint]
    curves: list[StudyCurve]
    paired: list[Paired]
    costs: list[Cost] = []
    """Of a study with further rounds; in another all variants take the same."""

    def curve(self, variant: str, decoder: str) -> StudyCurve | None:
        """The curve of a variant under a decoder."""
        return next((c for c in self.curves if (c.variant, c.decoder) == (variant, decoder)), None)

    def pair(self, variant: str, over: str, decoder: str) -> Paired | None:
        """A variant held against another."""
        wanted = (variant, over, decoder)
        return next((p for p in self.paired if (p.variant, p.over, p.decoder) == wanted), None)


def curve_name(variant: str, decoder: str) -> str:
    """The name of a curve among others."""
    return f"{variant}{MARK}{decoder}"


def results_of(study: Study, cells: Mapping[Cell, ArtifactRef], costs: Sequence[Cost] = ()) -> StudyResults:
    """The numbers of all cells; a variant that lacks one is left out and named.

    Raises:
        DataError: nothing is complete, or two cells were measured on different problems.
    """
    config, evaluate = study.config, study.run.evaluate
    variants, left_out = _complete(study, cells)
    if BASE not in variants or len(variants) < 2:
        raise DataError(
            "study: no variant is measured with every seed and decoder yet; let it run on, or lower seeds or decoders"
        )
    answers = {cell: _read(ref) for cell, ref in cells.items() if cell[0] in variants}
    ids = {tuple(found.ids) for found in answers.values()}
    if len(ids) != 1:
        raise DataError(
            "study: its cells were measured on different problems; run it again on a store of its own"
        )
    task = evaluate.tasks[0].name
    boots = [_boot(study, variants, seed, answers, task) for seed in config.seeds]
    together = Replicates(boots)
    best = [max(y for d in config.decoders for v in variants for _, y in _two(study, b, v, d)) for b in boots]
    curves = [_curve(study, together, boots, best, v, d) for v in variants for d in config.decoders]
    return StudyResults(
        name=config.name,
        task=task,
        problems=boots[0].problems,
        seeds=config.seeds,
        states=config.states,
        resamples=evaluate.bootstrap,
        aup_alpha=evaluate.aup_alpha,
        y_max=[max(float(values[0]) for values in boot.accuracy.values()) for boot in boots],
        y_max_leaderboard=best,
        variants=variants,
        left_out=left_out,
        decoders=list(config.decoders),
        ours=config.ours if config.ours in variants else variants[1],
        points=[point for cell, found in answers.items() for point in found.points(cell)],
        curves=curves,
        paired=[
            _paired(study, together, v, over, d) for v, over in _pairs(variants) for d in config.decoders
        ],
        costs=[cost for cost in costs if cost.variant in variants],
    )


class _CellAnswers:
    """A cell's answers by threshold, in the order of the problems' ids; beside them what was counted over all."""

    def __init__(self, ids: list[str], by_threshold: dict[float, tuple[Answers, dict[str, Any]]]) -> None:
        self.ids, self.by_threshold = ids, by_threshold

    def points(self, cell: Cell) -> list[StudyPoint]:
        """What the thresholds come to."""
        return [
            StudyPoint(
                variant=cell[0],
                seed=cell[1],
                decoder=cell[2],
                threshold=threshold,
                accuracy=100 * float(found.correct_P.mean()),
                tpf=float(found.tokens_P.sum() / found.forwards_P.sum()),
                **counts,
            )
            for threshold, (found, counts) in self.by_threshold.items()
        ]


def _read(ref: ArtifactRef) -> _CellAnswers:
    table = pq.read_table(str(ref.local(RESULTS)), columns=_COLUMNS, page_checksum_verification=True)
    columns = {name: np.array(table.column(name).to_pylist()) for name in _COLUMNS}
    found, ids = {}, list[str]()
    for threshold in np.unique(columns["threshold"]):
        rows = np.flatnonzero(columns["threshold"] == threshold)
        rows = rows[np.argsort(columns["problem_id"][rows], kind="stable")]
        ids = columns["problem_id"][rows].tolist()
        answers = Answers(*(columns[n][rows].astype(np.float64) for n in _COUNTED))
        tokens, forwards = float(answers.tokens_P.sum()), float(answers.forwards_P.sum())
        counts = {
            "tpf_text": float(columns["tokens_text"][rows].sum()) / forwards,
            "nfe": forwards / len(rows),
            "full_nfe": ratio(columns["full_forwards"][rows].tolist(), len(rows)),
            "computed_per_token": ratio(columns["computed"][rows].tolist(), tokens),
        }
        found[float(threshold)] = (answers, counts)
    return _CellAnswers(ids, found)


def _complete(study: Study, cells: Mapping[Cell, ArtifactRef]) -> tuple[list[str], list[str]]:
    def whole(variant: str) -> bool:
        seeds: Sequence[int | None] = [None] if variant == BASE else study.config.seeds
        return all((variant, seed, decoder) in cells for seed in seeds for decoder in study.specs)

    names = [BASE, *study.config.variants]
    return [n for n in names if whole(n)], [n for n in names if not whole(n)]


def _boot(
    study: Study, variants: Sequence[str], seed: int, answers: Mapping[Cell, _CellAnswers], task: str
) -> Bootstrap:
    ways: dict[ModelWay, Answers] = {}
    curves: dict[str, list[ModelWay]] = {}
    slowest = study.config.slowest
    for variant in variants:
        for decoder in study.config.decoders:
            found = answers[variant, None if variant == BASE else seed, decoder]
            own: list[ModelWay] = [(variant, decoder, threshold) for threshold in found.by_threshold]
            ways.update({way: found.by_threshold[way[2]][0] for way in own})
            start = [] if decoder == slowest else [(variant, slowest, 0.0)]
            curves[curve_name(variant, decoder)] = [*start, *own]
    evaluate = study.run.evaluate
    # The resamples are keyed by the task alone, so every seed draws the same problems.
    return resample(task, ways, curves, evaluate.bootstrap, alpha=evaluate.aup_alpha)


def _operating(study: Study, variant: str, decoder: str) -> ModelWay:
    return variant, decoder, study.config.decoders[decoder].at


def _two(study: Study, boot: Bootstrap, variant: str, decoder: str) -> list[tuple[float, float]]:
    """What the leaderboard has of a variant under a decoder: (TPF, accuracy), token by token and operating."""
    slowest = study.config.slowest
    ways: list[ModelWay] = [(variant, slowest, 0.0)]
    ways += [] if decoder == slowest else [_operating(study, variant, decoder)]
    return [(float(boot.tpf[way][0]), float(boot.accuracy[way][0])) for way in ways]


def _curve(
    study: Study,
    together: Replicates,
    boots: Sequence[Bootstrap],
    best: Sequence[float],
    variant: str,
    decoder: str,
) -> StudyCurve:
    way = _operating(study, variant, decoder)
    accuracy, tpf = together.accuracy(way), together.tpf(way)
    assert accuracy is not None and tpf is not None, "only complete variants are looked at"
    alpha = study.run.evaluate.aup_alpha
    theirs = [
        leaderboard_aup(_two(study, b, variant, decoder), y, alpha) for b, y in zip(boots, best, strict=True)
    ]
    return StudyCurve(
        variant=variant,
        decoder=decoder,
        accuracy=accuracy,
        tpf=tpf,
        aup=together.aup(curve_name(variant, decoder)),
        aup_leaderboard=theirs,
    )


def _pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Each against all before it."""
    return [(variant, over) for i, over in enumerate(variants) for variant in variants[i + 1 :]]


def _paired(study: Study, together: Replicates, variant: str, over: str, decoder: str) -> Paired:
    way, other = _operating(study, variant, decoder), _operating(study, over, decoder)
    accuracy, tpf = together.accuracy_gain(way, other), together.tpf_gain(way, other)
    aup = together.aup_gain(curve_name(variant, decoder), curve_name(over, decoder))
    assert accuracy is not None and tpf is not None and aup is not None, (
        "only complete variants are looked at"
    )
    return Paired(variant=variant, over=over, decoder=decoder, accuracy=accuracy, tpf=tpf, aup=aup)

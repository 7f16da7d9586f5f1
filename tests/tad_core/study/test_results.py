"""The numbers of a study by hand: points, curves, paired differences, and what is left out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tad_core.artifacts import Store
from tad_core.errors import DataError
from tad_core.evaluation.aup import aup, leaderboard_aup
from tad_core.study.config import Study
from tad_core.study.results import StudyResults, results_of


def test_by_hand(study: Study, store: Store, made: SimpleNamespace) -> None:
    results = results_of(study, made.cells(store))
    assert (results.variants, results.left_out, results.problems) == (
        ["base", "tad", "wide"],
        [],
        made.problems,
    )
    assert results.y_max == [75.0, 85.0], "over all variants and decoders, for each seed"
    point = next(p for p in results.points if (p.variant, p.seed, p.decoder) == ("wide", 1, "fast"))
    assert (point.accuracy, point.tpf, point.tpf_text) == (85.0, 4.0, 2.0)
    assert (point.nfe, point.full_nfe, point.computed_per_token) == (2.0, 1.0, 5.0)
    curve = results.curve("tad", "fast")
    assert curve is not None and curve.accuracy.each == [75, 85] and curve.accuracy.mean.value == 80
    assert curve.tpf.each == [2, 2]
    by_hand = [aup([(1, 75), (2, 75)], 75), aup([(1, 80), (2, 85)], 85)]
    assert curve.aup.each == pytest.approx(by_hand) and curve.aup.mean.value == pytest.approx(
        sum(by_hand) / 2
    )
    assert curve.aup_leaderboard == pytest.approx([leaderboard_aup([(1, 75), (2, 75)], 75), by_hand[1]])
    slow = results.curve("tad", "tokenwise")
    assert slow is not None and slow.aup.each == pytest.approx([75, 80]), (
        "one point: tokens per forward x accuracy"
    )
    base = results.curve("base", "fast")
    assert base is not None and base.aup.each == pytest.approx([50, 50]), (
        "25 % is more than 5 points below 50"
    )


def test_differences_are_paired(study: Study, store: Store, made: SimpleNamespace) -> None:
    results = results_of(study, made.cells(store))
    pair = results.pair("wide", "tad", "fast")
    assert pair is not None and pair.tpf.each == [2, 2]
    assert pair.accuracy.mean.interval is not None
    assert (pair.accuracy.mean.interval.low, pair.accuracy.mean.interval.high) == (0, 0), "the same answers"
    against = results.pair("tad", "base", "tokenwise")
    assert against is not None and against.accuracy.each == [25, 30]
    assert against.accuracy.mean.interval is not None and against.accuracy.mean.interval.low > 0
    assert results.pair("tad", "wide", "fast") is None, "each against those before it"
    assert StudyResults.model_validate_json(results.model_dump_json()) == results


def test_a_variant_that_lacks_a_seed_is_left_out_and_named(
    study: Study, store: Store, made: SimpleNamespace
) -> None:
    cells = made.cells(store)
    del cells["tad", 1, "fast"]
    results = results_of(study, cells)
    assert (results.variants, results.left_out, results.ours) == (["base", "wide"], ["tad"], "wide")
    assert not any(p.variant == "tad" for p in results.points)
    with pytest.raises(DataError, match="no variant is measured with every seed and decoder yet"):
        results_of(study, {c: ref for c, ref in cells.items() if c[0] == "base"})

"""The bootstrap: its centre is the plain figure, pairing cancels what models share, coverage is right."""

import numpy as np
import pytest

from tad_core.errors import DataError
from tad_core.evaluation.aup import aup
from tad_core.evaluation.bootstrap import Interval, bootstrap_aup
from tad_core.evaluation.records import Record, points

TBT, FAST = ("token_by_token", 0.0), ("entropy", 0.5)


def record(model, way, index, correct, forwards, tokens, task="sums", text=None):
    verdict = "passed" if correct else "different"
    text_tokens = tokens if text is None else text
    return Record(task, model, *way, f"p{index}", correct, verdict, forwards, tokens, text_tokens, 0.5, "t")


def table(model, answers_by_way, forwards=(8, 2), tokens=8):
    return [
        record(model, way, i, bool(ok), n, tokens)
        for way, n, answers in zip((TBT, FAST), forwards, answers_by_way, strict=True)
        for i, ok in enumerate(answers)
    ]


def two_models(seed=0, problems=60):
    draw = np.random.default_rng(seed)
    hard = draw.random(problems)
    base = hard < 0.4
    better = hard < 0.6
    return table("base", (base, base)) + table("quality", (better, better), forwards=(8, 1))


def test_the_value_is_the_plain_figure():
    records = two_models()
    result = bootstrap_aup(records, resamples=200)
    by_way = {(p["model"], p["method"], p["threshold"]): p for p in points(records)}
    y_max = max(p["accuracy"] for p in by_way.values())
    for way, point in by_way.items():
        assert result.accuracy_of(way).value == pytest.approx(point["accuracy"])
        assert result.tpf_of(way).value == pytest.approx(point["tpf"])
    for model in ("base", "quality"):
        curve = [(p["tpf"], p["accuracy"]) for w, p in by_way.items() if w[0] == model]
        assert result.aup_of(model).value == pytest.approx(aup(curve, y_max))


def test_paired_differences_are_tighter_than_the_intervals_themselves():
    result = bootstrap_aup(two_models(), resamples=500)
    gain = result.accuracy_gain(("quality", *TBT), ("base", *TBT))
    separate = [result.accuracy_of((m, *TBT)) for m in ("base", "quality")]
    assert gain.high - gain.low < max(i.high - i.low for i in separate)
    assert gain.low > 0
    assert result.aup_gain("quality", "base").low > 0
    assert result.aup_ratio("quality", "base").low > 1
    assert result.tpf_gain(("quality", *FAST), ("base", *FAST)) == Interval(4, 4, 4)


def test_identical_models_differ_by_exactly_nothing():
    answers = [True, False, True, True]
    records = table("base", (answers, answers)) + table("speed", (answers, answers))
    result = bootstrap_aup(records, resamples=100)
    assert result.aup_gain("speed", "base") == Interval(0, 0, 0)
    assert not result.aup_of("speed").apart_from(result.aup_of("base"))


def test_y_max_is_taken_anew_in_each_resample():
    """Alone, a model that is equally accurate at both speeds always is its own y_max: no weight ever bites."""
    answers = [True] * 10 + [False] * 30
    result = bootstrap_aup(table("base", (answers, answers)), resamples=300)
    assert np.allclose(result.aup["base"], 4 * result.accuracy[("base", *FAST)])


def test_reproducible_and_keyed_by_seed_and_task():
    records = two_models()
    first = bootstrap_aup(records, resamples=50).aup["base"]
    assert np.array_equal(first, bootstrap_aup(records[::-1], resamples=50).aup["base"])
    assert not np.array_equal(first, bootstrap_aup(records, resamples=50, seed=1).aup["base"])


def test_coverage_of_a_known_share():
    """About 95 of 100 intervals hold the true accuracy."""
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        answers = draw.random(150) < 0.4
        found = bootstrap_aup(table("base", (answers, answers)), resamples=200, seed=int(answers.sum()))
        inside += found.accuracy_of(("base", *TBT)).low <= 40 <= found.accuracy_of(("base", *TBT)).high
    assert 88 <= inside <= 100


def test_text_only_and_no_resamples():
    records = [record("base", TBT, 0, True, 4, 4, text=2), record("base", TBT, 1, False, 4, 4, text=1)]
    assert bootstrap_aup(records, 0).tpf_of(("base", *TBT)) == Interval(1, 1, 1)
    assert bootstrap_aup(records, 0, text_only=True).tpf_of(("base", *TBT)).value == 3 / 8


def test_a_model_that_solved_nothing():
    records = table("base", ([False] * 4, [False] * 4)) + table("speed", ([True] * 4, [True] * 4))
    result = bootstrap_aup(records, resamples=20)
    assert result.aup_of("base") == Interval(0, 0, 0)
    assert result.aup_ratio("speed", "base").value == np.inf


def test_wrong_records_are_refused():
    with pytest.raises(DataError, match="of 2 tasks"):
        bootstrap_aup([record("base", TBT, 0, True, 1, 1), record("base", TBT, 0, True, 1, 1, task="code")])
    with pytest.raises(DataError, match="other problems"):
        bootstrap_aup([record("base", TBT, 0, True, 1, 1), record("speed", TBT, 1, True, 1, 1)])

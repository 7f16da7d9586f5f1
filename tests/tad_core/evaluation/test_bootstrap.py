"""The bootstrap: its centre is the plain figure, pairing cancels what models share, coverage is right."""

import numpy as np
import pytest

from tad_core.errors import DataError
from tad_core.evaluation.aup import aup
from tad_core.evaluation.bootstrap import Estimate, Interval, bootstrap_aup, mean_aup
from tad_core.evaluation.records import Record, points

TBT, FAST = ("token_by_token", 0.0), ("entropy", 0.5)


def record(model, way, index, correct, forwards, tokens, task="sums"):
    verdict = "passed" if correct else "different"
    return Record(task, model, *way, f"p{index}", correct, verdict, forwards, tokens, tokens, 0.5, "t")


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
        assert result.accuracy[way][0] == pytest.approx(point["accuracy"])
        assert result.tpf[way][0] == pytest.approx(point["tpf"])
    for model in ("base", "quality"):
        curve = [(p["tpf"], p["accuracy"]) for w, p in by_way.items() if w[0] == model]
        assert result.aup_of(model).value == pytest.approx(aup(curve, y_max))


def width(interval):
    return interval.high - interval.low


def test_paired_differences_are_tighter_than_the_intervals_themselves():
    result = bootstrap_aup(two_models(), resamples=500)
    gain = result.accuracy_gain(("quality", *TBT), ("base", *TBT))
    separate = [np.percentile(result.accuracy[m, *TBT][1:], [2.5, 97.5]) for m in ("base", "quality")]
    assert width(gain.interval) < max(high - low for low, high in separate)
    assert gain.interval.low > 0
    assert result.aup_ratio("quality", "base").interval.low > 1
    assert result.tpf_gain(("quality", *FAST), ("base", *FAST)) == Estimate(4, Interval(4, 4))


def test_identical_models_differ_by_exactly_nothing():
    answers = [True, False, True, True]
    records = table("base", (answers, answers)) + table("speed", (answers, answers))
    result = bootstrap_aup(records, resamples=100)
    assert result.aup_ratio("speed", "base") == Estimate(1, Interval(1, 1))
    assert result.aup_of("speed").interval.overlaps(result.aup_of("base").interval)


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
        never = [False] * len(answers)
        records = table("base", (never, never)) + table("speed", (answers, answers))
        found = bootstrap_aup(records, resamples=200, seed=int(answers.sum()))
        interval = found.accuracy_gain(("speed", *TBT), ("base", *TBT)).interval
        inside += interval.low <= 40 <= interval.high
    assert 88 <= inside <= 100


def test_without_resamples_or_with_one_problem_there_is_no_interval():
    records = table("base", ([True, False], [True, False]))
    assert bootstrap_aup(records, 0).aup_of("base").interval is None
    assert bootstrap_aup(table("base", ([True], [True])), 100).aup_of("base").interval is None
    assert bootstrap_aup(records, 100).aup_of("base").interval is not None


def test_a_model_that_solved_nothing():
    records = table("base", ([False] * 4, [False] * 4)) + table("speed", ([True] * 4, [True] * 4))
    result = bootstrap_aup(records, resamples=20)
    assert result.aup_of("base") == Estimate(0, Interval(0, 0))
    assert result.aup_ratio("speed", "base") is None


def test_a_ratio_that_some_resamples_lack_has_a_value_and_no_interval():
    once = [True] + [False] * 9
    always = [True] * 10
    result = bootstrap_aup(table("base", (once, once)) + table("speed", (always, always)), resamples=200)
    assert (result.aup["base"][1:] == 0).mean() > 0.1
    ratio = result.aup_ratio("speed", "base")
    assert np.isfinite(ratio.value)
    assert ratio.interval is None


def test_the_mean_over_tasks_is_surer_than_each_task():
    answers = [True, False] * 20
    other = [
        record("base", w, i, bool(ok), 8, 8, task="b") for w in (TBT, FAST) for i, ok in enumerate(answers)
    ]
    boots = [bootstrap_aup(table("base", (answers, answers)), 300), bootstrap_aup(other, 300)]
    mean = mean_aup(boots, "base")
    assert mean.value == pytest.approx(sum(b.aup_of("base").value for b in boots) / 2)
    assert width(mean.interval) < max(width(b.aup_of("base").interval) for b in boots)
    alone = bootstrap_aup(table("base", ([True], [True])), 300)
    assert mean_aup([*boots, alone], "base").interval is None


def test_wrong_records_are_refused():
    with pytest.raises(DataError, match="of 2 tasks"):
        bootstrap_aup([record("base", TBT, 0, True, 1, 1), record("base", TBT, 0, True, 1, 1, task="code")])
    with pytest.raises(DataError, match="other problems"):
        bootstrap_aup([record("base", TBT, 0, True, 1, 1), record("speed", TBT, 1, True, 1, 1)])

"""Scores against numbers computed by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from tad_core.errors import DataError
from tad_core.evaluation.bootstrap import Interval
from tad_core.report.scores import Scores, wilson
from tad_core.report.scoring import score
from tad_core.report.tables import headline


@pytest.fixture
def scores(fake: SimpleNamespace) -> Scores:
    records = [r for model, ways in fake.curves.items() for r in fake.records(model, ways)]
    return score("hand-made", fake.config().evaluate, records, fake.lineup)


def test_points_are_sums_over_problems(scores: Scores) -> None:
    quality = scores.tasks[0].of("quality")
    assert quality is not None
    operating, single = quality.at(scores.operating), quality.token_by_token
    assert operating is not None
    assert single is not None

    assert (operating.accuracy, operating.tpf, operating.tpf_text) == (75.0, 4.0, 3.0)
    assert operating.tokens_per_s == pytest.approx(400)  # 8 tokens in 2 forwards of 10 ms
    assert (single.accuracy, single.tpf, single.tpf_text) == (80.0, 1.0, 0.75)


def test_aup_by_hand_with_the_best_of_all_models(scores: Scores) -> None:
    (task,) = scores.tasks
    assert task.y_max == 80.0
    found = {s.model: s.aup for s in task.scores}

    def w(accuracy: float) -> float:
        return accuracy * math.exp(-3 * (1 - accuracy / 80))

    assert found["base"] == pytest.approx(30 + (w(25) + w(30)) / 2)  # the point at 10 % is dropped
    assert found["quality"] == pytest.approx(80 + 80 + 2 * (w(75) + 80) / 2)
    assert found["speed"] == pytest.approx(75 + 7 * w(75))


def test_each_model_has_the_headline_row_of_its_own_decoder(fake: SimpleNamespace) -> None:
    curves = {
        "base": {("token_by_token", 0.0): (6, 8), ("confidence", 0.9): (6, 4)},
        "quality": {("token_by_token", 0.0): (16, 8), ("factor", 2.0): (14, 2)},
    }
    records = [r for model, ways in curves.items() for r in fake.records(model, ways)]
    config = fake.config(
        thresholds=[0.9], operating_threshold=0.9, decode={"method": "confidence", "block_length": 8}
    ).evaluate
    scores = score("own", config, records, fake.lineup, {"quality": ("factor", 2.0)})
    (task,) = scores.tasks
    assert [(s.at(scores.operating).accuracy, s.at(scores.operating).tpf) for s in task.scores] == [
        (30.0, 2.0),
        (70.0, 4.0),
    ]
    gain = task.against("quality", "base")
    assert gain is not None and gain.accuracy is not None and gain.tpf is not None
    assert (gain.accuracy.value, gain.tpf.value) == (40.0, 2.0)
    assert [s.aup_leaderboard is None for s in task.scores] == [False, True], "10 points below the slowest"
    table = headline(scores, fake.lineup)
    assert table.columns[3:5] == ["Accuracy at its own %", "TPF at its own"]
    assert table.notes[0].endswith(" Decoded at: Base confidence 0.9, Quality factor 2.")
    assert Scores.model_validate_json(scores.model_dump_json()) == scores
    shared = score("one", config, [r for r in records if r.model == "base"], fake.lineup)
    assert headline(shared, fake.lineup).columns[3] == "Accuracy at confidence 0.9 %"


def test_scores_of_an_earlier_release_are_at_an_entropy(scores: Scores) -> None:
    old = scores.model_dump(mode="json", exclude={"operating_method", "operating_own"})
    assert Scores.model_validate(old) == scores and scores.operating.at == "at 0.5"


def test_text_only_aup_scales_with_the_text(scores: Scores) -> None:
    for s in scores.tasks[0].scores:
        assert s.aup_text == pytest.approx(0.75 * s.aup)


def test_dropped_points_are_marked(scores: Scores) -> None:
    base = scores.tasks[0].of("base")
    assert base is not None
    assert [(p.accuracy, p.counted) for p in base.points] == [(30.0, True), (25.0, True), (10.0, False)]


def test_comparisons_are_paired(scores: Scores) -> None:
    task = scores.tasks[0]
    gain = task.against("quality", "base")
    faster = task.against("speed", "quality")
    assert gain is not None
    assert gain.accuracy_token_by_token is not None
    assert faster is not None
    assert faster.tpf is not None

    assert gain.accuracy_token_by_token.value == 50.0
    interval = gain.accuracy_token_by_token.interval
    assert interval is not None
    assert 20 < interval.low < 50 < interval.high < 80
    assert gain.aup_apart is True
    assert faster.tpf.value == 4.0
    assert faster.tpf.interval == Interval(low=4.0, high=4.0)  # every problem gained the same
    assert task.against("quality", "sft") is None


def test_intervals_hold_the_value_and_the_seed(scores: Scores, fake: SimpleNamespace) -> None:
    for s in scores.tasks[0].scores:
        assert s.aup_interval is not None
        assert s.aup_interval.low <= s.aup <= s.aup_interval.high
    records = [r for model, ways in fake.curves.items() for r in fake.records(model, ways)]
    assert score("hand-made", fake.config().evaluate, records, fake.lineup) == scores


def test_without_a_bootstrap_there_are_no_intervals(fake: SimpleNamespace) -> None:
    records = fake.records("base", fake.curves["base"]) + fake.records("quality", fake.curves["quality"])
    found = score("x", fake.config(bootstrap=0).evaluate, records, fake.lineup)

    gain = found.tasks[0].against("quality", "base")
    assert gain is not None
    assert gain.accuracy_token_by_token is not None
    assert gain.accuracy_token_by_token.interval is None
    assert gain.aup_apart is None
    assert found.tasks[0].scores[0].aup_interval is None


def test_a_single_problem_promises_no_interval(fake: SimpleNamespace) -> None:
    records = [r for r in fake.records("base", fake.curves["base"]) if r.problem_id == "sums/0"]

    (only,) = score("x", fake.config().evaluate, records, fake.lineup).tasks[0].scores

    assert only.aup_interval is None


def test_a_base_that_solves_nothing_gives_no_ratio(fake: SimpleNamespace) -> None:
    nothing = {("token_by_token", 0.0): (0, 8), ("entropy", 0.5): (0, 4)}
    records = fake.records("base", nothing) + fake.records("quality", fake.curves["quality"])

    task = score("x", fake.config().evaluate, records, fake.lineup).tasks[0]

    gain = task.against("quality", "base")
    assert gain is not None
    assert gain.aup_ratio is None
    Scores.model_validate_json(score("x", fake.config().evaluate, records, fake.lineup).model_dump_json())


def test_average_is_the_mean_over_tasks(fake: SimpleNamespace) -> None:
    other = {"base": {("token_by_token", 0.0): (10, 8), ("entropy", 0.5): (10, 4)}}
    records = fake.records("base", fake.curves["base"]) + fake.records("base", other["base"], task="code")

    found = score("x", fake.config().evaluate, records, fake.lineup)

    (average,) = found.average
    assert average.token_by_token == (30 + 50) / 2
    assert average.accuracy == (10 + 50) / 2
    assert average.tpf == (4 + 2) / 2
    assert average.aup == pytest.approx(sum(t.scores[0].aup for t in found.tasks) / 2)
    assert average.aup_interval is not None
    assert average.aup_interval.low <= average.aup <= average.aup_interval.high


def test_average_lacks_what_a_task_lacks(fake: SimpleNamespace) -> None:
    records = fake.records("base", fake.curves["base"])
    records += fake.records("base", {("token_by_token", 0.0): (10, 8)}, task="code")

    (average,) = score("x", fake.config().evaluate, records, fake.lineup).average

    assert average.tpf is None
    assert average.token_by_token == 40.0


def test_models_on_different_problems_are_refused(fake: SimpleNamespace) -> None:
    records = fake.records("base", fake.curves["base"]) + fake.records("quality", fake.curves["quality"])[1:]

    with pytest.raises(DataError, match="other problems"):
        score("x", fake.config().evaluate, records, fake.lineup)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (0, 10, 0.0, 27.75),
        (10, 10, 72.25, 100.0),
        (5, 10, 23.66, 76.34),
        (81, 263, 25.53, 36.62),
        (0, 0, 0.0, 100.0),
    ],
)
def test_wilson(correct: int, total: int, low: float, high: float) -> None:
    found = wilson(correct, total)

    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_overlap_counts_the_ends() -> None:
    assert Interval(low=1, high=2).overlaps(Interval(low=2, high=3))
    assert not Interval(low=1, high=2).overlaps(Interval(low=2.1, high=3))

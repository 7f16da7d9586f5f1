"""Two runs on the same problems: numbers by hand, and intervals that pairing makes narrow."""

from __future__ import annotations

import pytest

from tad_core.evaluation.aup import aup
from tad_core.evaluation.bootstrap import bootstrap_aup
from tad_core.evaluation.pairing import paired
from tad_core.evaluation.records import Record

SINGLE, FAST = ("token_by_token", 0.0), ("entropy", 0.5)


def records(
    right: int, forwards: int, model: str = "base", problems: int = 60, task: str = "sums"
) -> list[Record]:
    return [
        Record(task, model, *way, f"p{i}", i < right, "equal", steps, 8, 8, 0.1, "t")
        for way, steps in ((SINGLE, 8), (FAST, forwards))
        for i in range(problems)
    ]


def test_by_hand() -> None:
    both = paired(records(30, 4), records(36, 2))
    assert both is not None and both.problems == 60
    accuracy, tpf, area = (
        both.accuracy("base", SINGLE, SINGLE),
        both.tpf("base", FAST, FAST),
        both.aup("base"),
    )
    assert accuracy is not None and tpf is not None and area is not None
    assert (accuracy.first.value, accuracy.second.value, accuracy.difference.value) == (
        50,
        60,
        pytest.approx(10),
    )
    assert (tpf.first.value, tpf.second.value, tpf.difference.value) == (2, 4, 2)
    # One best accuracy for both, 60 %.
    by_hand = aup([(1, 50), (2, 50)], 60), aup([(1, 60), (4, 60)], 60)
    assert (area.first.value, area.second.value) == pytest.approx(by_hand)
    assert area.difference.value == pytest.approx(by_hand[1] - by_hand[0])


def test_what_problems_have_in_common_cancels() -> None:
    """The second solves what the first does and six more: surely more, though each accuracy alone is unsure."""
    first, second = records(30, 4), records(36, 4)
    both = paired(first, second)
    assert both is not None
    pair = both.accuracy("base", SINGLE, SINGLE)
    assert pair is not None and pair.difference.interval is not None and pair.difference.interval.low > 0
    alone = [bootstrap_aup(r).accuracy["base", *SINGLE][1:] for r in (first, second)]
    assert alone[0].max() > alone[1].min(), "the intervals of the two overlap by far"


def test_other_ways_and_other_models() -> None:
    both = paired([*records(30, 4), *records(40, 4, "speed")], records(36, 2))
    assert both is not None and both.aup("speed") is None
    across = both.accuracy("base", SINGLE, FAST)
    assert across is not None and across.difference.value == pytest.approx(10)
    assert both.accuracy("base", SINGLE, ("entropy", 0.7)) is None


def test_tasks_that_are_called_otherwise_and_problems_that_are_others() -> None:
    assert paired(records(30, 4), records(30, 4, task="called-otherwise")) is not None
    assert paired(records(30, 4), records(30, 4, problems=59)) is None
    assert paired([], records(30, 4)) is None


def test_without_resamples_there_is_no_interval() -> None:
    both = paired(records(30, 4), records(36, 4), resamples=0)
    assert both is not None
    pair = both.aup("base")
    assert pair is not None and pair.difference.interval is None

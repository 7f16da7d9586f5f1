"""Which task comes next: a model that can be measured before a model that can be trained."""

from __future__ import annotations

from tad_core.study.schedule import Measuring, Schedule, Training

FIRST, SECOND = Training(0, ("a", "b")), Training(1, ("a",))


def test_measurements_come_before_later_trainings() -> None:
    schedule = Schedule([Measuring("base", None)], [FIRST, SECOND])
    assert schedule.total == 1 + 3 + 2
    todo = schedule.todo()
    assert next(todo) == Measuring("base", None) and next(todo) == FIRST
    schedule.end(FIRST, well=True)
    assert [next(todo) for _ in range(3)] == [Measuring("a", 0), Measuring("b", 0), SECOND]
    assert next(todo) is None, "what is in hand may still lead to more"
    for task in (Measuring("base", None), Measuring("a", 0), Measuring("b", 0)):
        schedule.end(task, well=True)
    schedule.end(SECOND, well=False)
    assert list(todo) == [], "models that were not trained are not measured"
    assert schedule.ended == 5 == schedule.total


def test_tasks_in_words() -> None:
    assert FIRST.told == "train a, b (seed 0)" and Measuring("base", None).told == "measure base"
    assert Measuring("a", 2).told == "measure a (seed 2)"

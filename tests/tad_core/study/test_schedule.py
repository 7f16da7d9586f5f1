"""Which task comes next: a model that can be measured before a model that can be trained."""

from __future__ import annotations

from tad_core.study.schedule import Measuring, Merging, NextRound, Rolling, Schedule, Task, Training

FIRST, SECOND = Training(0, ("a", "b")), Training(1, ("a",))
AFTER: dict[Task, list[Task]] = {
    FIRST: [Measuring("a", 0), Measuring("b", 0)],
    SECOND: [Measuring("a", 1)],
}


def test_measurements_come_before_later_trainings() -> None:
    schedule = Schedule([Measuring("base", None), FIRST, SECOND], AFTER)
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


def test_rounds_come_between_and_what_is_behind_one_that_failed_never_comes() -> None:
    rounds, again = NextRound(0, "a"), Training(0, ("again",), "a")
    behind: dict[Task, list[Task]] = {rounds: [again], again: [Measuring("again", 0)]}
    after = {**AFTER, FIRST: [*AFTER[FIRST], rounds], **behind}
    for well in (True, False):
        schedule = Schedule([FIRST, SECOND], after)
        assert schedule.total == 3 + 3 + 2
        todo = schedule.todo()
        assert next(todo) == FIRST
        schedule.end(FIRST, well=True)
        assert [next(todo) for _ in range(3)] == [Measuring("a", 0), Measuring("b", 0), rounds]
        schedule.end(rounds, well=well)
        assert next(todo) == (again if well else SECOND), "before what has not begun"
        assert schedule.total == (8 if well else 6)
    assert next(todo) is None


def test_what_is_behind_several_waits_for_all_of_them() -> None:
    merging, last = Merging(0, "a"), NextRound(0, "a")
    beside = [Rolling(0, "a", place, 2) for place in range(2)]
    after: dict[Task, list[Task]] = {merging: [*beside], **{one: [last] for one in beside}}
    for well in (True, False):
        schedule = Schedule([merging], after)
        todo = schedule.todo()
        assert schedule.total == 4 and next(todo) == merging and next(todo) is None
        schedule.end(merging, well=True)
        assert [next(todo), next(todo)] == beside
        schedule.end(beside[0], well=well)
        assert next(todo) is None, "the other is in hand"
        schedule.end(beside[1], well=well)
        assert next(todo, None) == (last if well else None)
        assert schedule.total == (4 if well else 3), "what never comes is counted once"


def test_tasks_in_words() -> None:
    assert NextRound(2, "a").told == "round of a (seed 2)" and NextRound(2, "a").rank > Measuring("a", 2).rank
    assert FIRST.told == "train a, b (seed 0)" and Measuring("base", None).told == "measure base"
    assert Measuring("a", 2).told == "measure a (seed 2)"

"""How the end of the two processes of a job is read."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tad_core.verify.sandbox.inside import allowance, frames, keeper, lockdown
from tad_core.verify.sandbox.inside.allowance import Allowance
from tad_core.verify.sandbox.inside.keeper import Keeper, Side, _report

SETTINGS = lockdown.Settings(tier=1, cpu_s=22)


def side(status: int, cpu_s: float = 0.1, by_us: bool = False) -> Side:
    """A process that has ended."""
    return Side(1, -1, status, cpu_s, by_us)


@pytest.mark.parametrize("who", ["program", "tests"])
@pytest.mark.parametrize(
    ("status", "cpu_s", "verdict"),
    [
        (-signal.SIGXCPU, 0.1, "timeout"),
        (-signal.SIGXCPU, 22.0, "timeout"),
        (-signal.SIGKILL, 22.0, "timeout"),
        (-signal.SIGKILL, 0.1, "infrastructure_error"),
    ],
)
def test_a_cpu_limit_is_the_time_limit_whoever_set_it(
    who: str, status: int, cpu_s: float, verdict: str
) -> None:
    ended, other = side(status, cpu_s), side(0, by_us=True)
    tests, program = (ended, other) if who == "tests" else (other, ended)
    said = {"received": True, "loading": True, "verdict": "crashed"}
    report = _report(said, tests, program, SETTINGS)
    assert report["verdict"] == verdict


def test_what_the_keeper_ended_itself_is_no_failure_of_the_machine() -> None:
    said = {"received": True, "loading": True, "verdict": "failed"}
    report = _report(said, side(0), side(-signal.SIGKILL, by_us=True), SETTINGS)
    assert report == {"verdict": "failed", "marked": True}


class Told:
    """The pipes of a keeper, what came through them, and clocks that stand still until they are moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands, self.results, self.loaded = os.pipe(), os.pipe(), os.pipe()
        self._now, self._cpu, self._looks = 1000.0, 0.0, 0
        self.each_look_s, self.each_look_cpu_s = 0.0, 0.0
        self.at_look: dict[int, dict[str, Any]] = {}
        monkeypatch.setattr(allowance.time, "monotonic", lambda: self._now)
        monkeypatch.setattr(allowance, "cpu_of", lambda pid: self._cpu)
        monkeypatch.setattr(Allowance, "look_ms", self._look)

    def _look(self, _: Allowance | None = None) -> float:
        self._looks += 1
        self._now += self.each_look_s
        self._cpu += self.each_look_cpu_s
        if self._looks in self.at_look:
            frames.send(self.results[1], self.at_look[self._looks])
        return 1.0

    def watch(self, cpu_s: float = 60, rest_s: float = 21) -> dict[str, Any]:
        settings = {
            "tier": 2, "filter": "", "uids": (), "readable": (), "exams": 0, "programs": 0, "marks": 0,
        }  # fmt: skip
        keeper = Keeper(self.commands[0], -1, settings)
        return keeper._watch((self.results[0], self.loaded[0]), Allowance([7], cpu_s, rest_s))

    def close(self) -> None:
        for end in (*self.commands, *self.results, *self.loaded):
            os.close(end)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    made = Told(monkeypatch)
    yield made
    made.close()


VERDICT = {"verdict": "failed"}


def test_a_right_program_on_a_busy_machine_has_its_time(told: Told) -> None:
    """Of ten seconds by the clock it gets one; after 50 seconds and 5 of its 10 of CPU time it is done."""
    told.each_look_s, told.each_look_cpu_s = 10.0, 1.0
    os.write(told.loaded[1], b"1")
    told.at_look = {1: {"received": True}, 7: VERDICT}
    assert told.watch(cpu_s=10) == {"received": True, "loading": True, "verdict": "failed"}


@pytest.mark.parametrize(
    ("cpu_s", "late"), [(0.0, "the time by the clock ran out"), (1.0, "more than 10 s of CPU time")]
)
def test_time_that_runs_out_is_told_by_which(told: Told, cpu_s: float, late: str) -> None:
    told.each_look_s, told.each_look_cpu_s = 1.0, cpu_s
    assert told.watch(cpu_s=10) == {"late": late}


def test_threads_that_wait_for_each_other_are_stuck_once_nobody_computes(told: Told) -> None:
    told.each_look_s = 1.0
    told.at_look = {2: {"waiting": 1}}
    said = told.watch()
    assert said == {"stuck": True}
    report = _report(said, side(-signal.SIGKILL, by_us=True), side(-signal.SIGKILL, by_us=True), SETTINGS)
    assert report["verdict"] == "no_tests" and "waits for a call in another" in report["reason"]


@pytest.mark.parametrize(
    ("cpu_s", "turns"), [(0.5, {2: {"waiting": 1}}), (0.0, {2: {"waiting": 1}, 4: {"waiting": 0}}),
                         (0.0, {n: {"waiting": 1 + n % 2} for n in range(2, 11, 2)})],
)  # fmt: skip
def test_threads_whose_turn_comes_are_not(told: Told, cpu_s: float, turns: dict[int, dict[str, Any]]) -> None:
    """While another's call computes; after it; and where each has its turn while more are waiting."""
    told.each_look_s, told.each_look_cpu_s = 1.0, cpu_s
    told.at_look = {**turns, 12: VERDICT}
    os.write(told.loaded[1], b"1")
    assert told.watch() == {"loading": True, "verdict": "failed"}


def watched(after_s: float | None) -> dict[str, Any]:
    """What a keeper hears where the tests are over at once, and the program has read its message after so long."""
    commands, results, loaded = os.pipe(), os.pipe(), os.pipe()
    settings = {"tier": 2, "filter": "", "uids": (), "readable": (), "exams": 0, "programs": 0, "marks": 0}
    frames.send(results[1], {"received": True})
    frames.send(results[1], {"verdict": "no_tests"})
    late = threading.Timer(after_s or 0, os.write, (loaded[1], b"1"))
    if after_s is not None:
        late.start()
    try:
        return Keeper(commands[0], -1, settings)._watch((results[0], loaded[0]), Allowance([], 60, 60))
    finally:
        late.cancel()
        for end in (*commands, *results, *loaded):
            os.close(end)


def test_a_program_that_nobody_needs_is_not_killed_while_it_reads() -> None:
    # Else the next program would begin with the rest of this one's message.
    assert watched(0.2) == {"received": True, "loading": True, "verdict": "no_tests"}


def test_a_program_that_never_reads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_READ_MS", 100)
    assert watched(None) == {"received": True, "loading": False, "verdict": "no_tests"}

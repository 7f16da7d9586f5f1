"""How the end of the two processes of a job is read."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from tad_core.verify.sandbox.inside import frames, keeper, lockdown
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
        return Keeper(commands[0], -1, settings)._watch(
            (results[0], loaded[0]), [], time.monotonic() + 60, 60
        )
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

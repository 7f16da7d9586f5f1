"""How the end of the two processes of a job is read."""

from __future__ import annotations

import signal

import pytest

from tad_core.verify.sandbox.inside import lockdown
from tad_core.verify.sandbox.inside.keeper import Side, _report

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

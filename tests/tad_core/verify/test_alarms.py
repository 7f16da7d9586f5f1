"""Alarms after CPU time."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tad_core.verify import alarms


class Machine:
    """Stands for the clock of this process and for the kernel's timer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used, self.timers, self.rung = 50.0, [], 0
        monkeypatch.setattr(alarms.time, "process_time", lambda: self.used)
        monkeypatch.setattr(alarms.signal, "setitimer", lambda which, left: self.timers.append((which, left)))
        monkeypatch.setattr(alarms.signal, "getsignal", lambda number: self.ring)

    def ring(self, number: int, frame: object) -> None:
        assert number == signal.SIGALRM
        self.rung += 1


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    before = signal.getsignal(signal.SIGPROF)
    yield Machine(monkeypatch)
    signal.signal(signal.SIGPROF, before)


def test_it_rings_when_the_time_was_used_and_not_before(machine: Machine) -> None:
    assert alarms.alarm(5) == 0
    machine.used += 3
    alarms.ring(signal.SIGPROF, None)  # the kernel counted too many ticks
    assert machine.rung == 0
    machine.used += 2
    alarms.ring(signal.SIGPROF, None)
    assert machine.rung == 1
    assert machine.timers == [(signal.ITIMER_PROF, 5), (signal.ITIMER_PROF, 2.0)]


def test_one_that_was_taken_back_does_not_ring(machine: Machine) -> None:
    alarms.alarm(5)
    machine.used += 5
    alarms.alarm(0)
    alarms.ring(signal.SIGPROF, None)  # on its way already
    assert machine.rung == 0 and machine.timers[-1] == (signal.ITIMER_PROF, 0)

"""CPU time decides what takes too long; the clock bounds what rests."""

from __future__ import annotations

import os
import time

import pytest

from tad_core.verify.sandbox.inside import allowance
from tad_core.verify.sandbox.inside.allowance import CROWD, Allowance, cpu_of, longest_s


class Machine:
    """Stands for the clocks: by the clock, and the CPU time of each process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.cpu = 1000.0, {7: 5.0, 8: 6.0}
        monkeypatch.setattr(allowance.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(allowance, "cpu_of", lambda pid: self.cpu[pid])


def test_a_busy_machine_takes_no_time_from_who_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    work = Allowance([7, 8], cpu_s=10, rest_s=21)
    machine.now += 100  # for five seconds of work: twenty processes on each core
    machine.cpu[7] += 4.0
    machine.cpu[8] += 1.0
    assert not work.rested_too_long() and not work.computed_too_long()
    machine.now += 21  # and no more work
    assert work.rested_too_long() and not work.computed_too_long()


def test_what_rests_has_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    work = Allowance([7, 8], cpu_s=10, rest_s=21)
    machine.now += 20.9
    assert not work.rested_too_long() and 0 < work.look_ms() <= 100
    machine.now += 0.2
    assert work.rested_too_long() and work.look_ms() == 0


def test_each_process_has_its_own_cpu_time_and_what_it_had_before_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    work = Allowance([7, 8], cpu_s=10, rest_s=21)
    machine.cpu = {7: 14.9, 8: 15.9}
    assert not work.computed_too_long()
    machine.cpu[8] = 16.1
    assert work.computed_too_long()
    machine.cpu[8] = 0.0  # it has ended: what it used stays used
    assert work.computed_too_long()
    assert not work.afresh(3).computed_too_long()


def test_nothing_outlasts_the_longest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    work = Allowance([7, 8], cpu_s=10, rest_s=21)
    machine.cpu = {7: 15.0, 8: 16.0}
    assert work.deadline() == 1000 + longest_s(10, 21, processes=2) == 1000 + 21 + 20 * CROWD


def test_waiting_ends_with_an_answer_or_a_limit() -> None:
    ours, theirs = os.pipe()
    try:
        assert not Allowance([os.getpid()], cpu_s=60, rest_s=0.05).wait_for(ours)
        os.write(theirs, b"1")
        assert Allowance([os.getpid()], cpu_s=60, rest_s=60).wait_for(ours)
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_cpu_time_of_a_process_is_that_of_all_its_threads() -> None:
    before = time.process_time()
    assert before <= cpu_of(os.getpid()) <= time.process_time()
    assert cpu_of(2**22 + 1) == 0.0  # no such process

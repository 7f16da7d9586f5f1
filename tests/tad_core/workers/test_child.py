"""One worker process as its parent sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from tad_core.decoding import DecodeSpec
from tad_core.progress import silent
from tad_core.workers import child
from tad_core.workers.child import Child
from tad_core.workers.jobs import DecodeJob


class Running:
    """Stands for a process that runs on for a moment after it is killed."""

    pid, killed = 7, False

    def poll(self) -> None:
        return None

    def wait(self) -> int:
        return -9

    def kill(self) -> None:
        self.killed = True


class LastMoment:
    """A timer whose time is up while it is taken back."""

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self._act = act

    def start(self) -> None: ...
    def join(self) -> None: ...
    def cancel(self) -> None:
        self._act()


class TimedJob(DecodeJob):
    timeout_s: Any = 1.0


def test_a_worker_whose_time_is_up_as_it_answers_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer counts; but it is about to be dead, and the next job would end with it."""
    monkeypatch.setattr(child.threading, "Timer", LastMoment)
    process, answer = Running(), StringIO(json.dumps({"answer": []}) + "\n")
    made = Child(process, (StringIO(), answer, StringIO()), {"adapter": ""}, "", None)
    assert made.usable
    assert made.run(TimedJob([], DecodeSpec(8, 4), 1, 1, 1), silent) == []
    assert process.killed and not made.usable

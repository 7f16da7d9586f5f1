"""Pieces side by side, and the end of them: ``test_pool.py`` has the rest, around workers."""

from __future__ import annotations

import concurrent.futures
import signal
import sys
import threading
from types import FrameType

import pytest

from tad_core.workers.fanning import fan_out
from tests.waiting import until


def waits() -> bool:
    """Whether the main thread waits for pieces."""
    frame: FrameType | None = sys._current_frames()[threading.main_thread().ident or 0]
    while frame is not None and frame.f_code is not concurrent.futures.wait.__code__:
        frame = frame.f_back
    return frame is not None


def test_a_signal_that_another_thread_is_handed_ends_what_is_being_made() -> None:
    """The system chooses the thread; Python's handler runs in the main one, which then has to wake by itself."""
    stopped = threading.Event()
    seen: list[bool] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def make(piece: int) -> None:
        until(waits, "the main thread waits for this one")
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        seen.append(stopped.wait(20))

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(fan_out([0], make, 1, stopped.set))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [True], "it was told to stop while it was being made"

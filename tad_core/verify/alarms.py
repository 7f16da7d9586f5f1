"""Alarms after CPU time of this process: by the clock, a busy machine would ring before the work had its time."""

from __future__ import annotations

import signal
import time
from types import FrameType

#: An alarm that comes sooner would cost more than it tells, in seconds.
_LEAST_S = 0.01
#: When the alarm is due, as ``time.process_time`` has it; None for no alarm.
_due: float | None = None


def alarm(seconds: float) -> int:
    """As ``signal.alarm``, with the handler that SIGALRM has, but after so many CPU seconds; 0 for none any more.

    For the main thread of a process that uses no other alarm. Always 0: what was left of the last one is not told.
    """
    global _due
    _due = time.process_time() + seconds if seconds else None
    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    return 0


def ring(signum: int, frame: FrameType | None) -> None:
    """Handle SIGPROF. The kernel counts in ticks, sometimes too many: then it is set for what is left."""
    if _due is None:
        return  # on its way when it was taken back
    left_s = _due - time.process_time()
    if left_s > 0:
        signal.setitimer(signal.ITIMER_PROF, max(left_s, _LEAST_S))
        return
    handler = signal.getsignal(signal.SIGALRM)
    if callable(handler):
        handler(signal.SIGALRM, frame)

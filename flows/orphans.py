"""A deployed run whose worker was killed ends at once and says why.

It would run on with nobody to cancel it, on a GPU that the next worker gives to another run, until it prints a line into
the pipe that nobody reads and ends with whatever that raises. On Linux the kernel tells a process of its parent's end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from types import FrameType

__all__ = ["WorkerGoneError", "end_with_worker"]

_PR_SET_PDEATHSIG = 1


class WorkerGoneError(BaseException):
    """The worker has ended; no ``Exception``, so that nothing on the way takes it for a failure to be tried again."""


def end_with_worker() -> None:
    """From here on this flow run ends with the worker that started it; at the beginning of a deployed flow.

    Nothing happens in a run that no worker started, outside the main thread, and where the system is not Linux.
    """
    if "PREFECT__FLOW_RUN_ID" not in os.environ or sys.platform != "linux":
        return
    if threading.current_thread() is not threading.main_thread():
        return
    worker = os.getppid()

    def told(signum: int, frame: FrameType | None) -> None:
        if os.getppid() == worker:  # one of its threads has ended, which the kernel tells as well
            _tell_me_of_its_end()
            return
        _be_silent()
        raise WorkerGoneError(
            "the worker that started this run has ended; start it again, then Retry the run"
        )

    signal.signal(signal.SIGRTMIN, told)
    _tell_me_of_its_end()


def _tell_me_of_its_end() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGRTMIN)


def _be_silent() -> None:
    """Nobody reads what is printed from here on; written into the broken pipe, the next line would be the end instead."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)

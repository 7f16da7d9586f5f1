"""A deployed run looks after itself where its worker cannot.

A worker that is killed leaves its runs behind: with nobody to cancel them, on a GPU that the next worker gives to
another run, until they print a line into the pipe that nobody reads and end with whatever that raises. On Linux the
kernel tells a process of its parent's end; the run then ends at once and says why.

A worker from which the server stayed away for about 40 s no longer hears that a run is to be cancelled, however long it
lives: its stream of events has ended, and it has given up asking. So the run asks, too.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType
from uuid import UUID

from prefect.context import FlowRunContext

__all__ = ["WorkerGoneError", "look_after_itself"]

_PR_SET_PDEATHSIG = 1
_ASK_S = 15.0
#: A worker that hears of it ends a run within 30 s, by force in the end.
_PATIENCE_S = 45.0


class WorkerGoneError(BaseException):
    """The worker has ended; no ``Exception``, so that nothing on the way takes it for a failure to be tried again."""


class CancelledHereError(BaseException):
    """The run is being cancelled and its worker does nothing about it."""


def look_after_itself() -> None:
    """From here on this flow run ends with its worker, and if it is cancelled; at the beginning of a deployed flow.

    Nothing happens in a run that no worker started, nor outside the main thread.
    """
    if "PREFECT__FLOW_RUN_ID" not in os.environ or threading.current_thread() is not threading.main_thread():
        return
    if sys.platform == "linux":
        _end_with_worker()
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        signal.signal(signal.SIGUSR2, _cancelled)
        threading.Thread(
            target=_end_when_cancelled, args=(context.flow_run.id,), name="cancelled?", daemon=True
        ).start()


def _end_with_worker() -> None:
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
    """Nobody reads what is printed from here on: into the broken pipe, the next line would be the end instead."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _end_when_cancelled(run: UUID) -> None:
    """Ask until the run is being cancelled and the worker does nothing about it; then end."""
    import httpx
    from prefect.client.orchestration import get_client

    since: float | None = None
    while True:
        time.sleep(_ASK_S)
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(run).state
        except (httpx.HTTPError, RuntimeError):  # the server is away: the next question may be answered
            continue
        if state is None or not state.is_cancelling():
            since = None
            continue
        since = since or time.monotonic()
        if time.monotonic() - since >= _PATIENCE_S:
            # Not SIGTERM, after which Prefect lets the system end the process: nothing could be said any more.
            atexit.register(_call_it_cancelled, run)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR2)  # type: ignore[arg-type]
            return


def _cancelled(signum: int, frame: FrameType | None) -> None:
    raise CancelledHereError("cancelled; the worker did not hear of it")


def _call_it_cancelled(run: UUID) -> None:
    """What the engine takes for a crash, since no worker told it otherwise; registered last, so called first."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Cancelled(message="Cancelled; the run ended itself."), force=True)

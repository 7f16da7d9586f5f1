"""The process that does algebra: reads pairs of answers, writes verdicts. Started by ``math_process``.

The parent may kill it at any moment. Alarms work because everything happens in the main thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
from types import FrameType

from tad_core.verify.alarms import alarm
from tad_core.verify.math import Unsure, compare
from tad_core.verify.sandbox.filter import FilterError, compile_filter
from tad_core.verify.sandbox.inside import frames
from tad_core.verify.sandbox.inside.lockdown import LockdownError, confine_reader
from tad_core.verify.verdict import MathVerdict


class _AlarmError(BaseException):
    """Raised by the alarm; a BaseException, so that no handler inside sympy swallows it."""


def _on_alarm(signum: int, frame: FrameType | None) -> None:
    raise _AlarmError


def judge(prediction: str, reference: str, kind: str, timeout_s: float) -> MathVerdict:
    """Compare one pair within ``timeout_s`` seconds of CPU time."""
    from tad_core.verify.symbolic import scalar_equal

    alarm(timeout_s)
    try:
        outcome = compare(prediction, reference, "number" if kind == "number" else "expression", scalar_equal)
        assert not isinstance(outcome, Unsure)
        return outcome
    except _AlarmError:
        return MathVerdict.TIMEOUT
    except MemoryError:
        return MathVerdict.OUT_OF_MEMORY
    except RecursionError:
        return MathVerdict.UNPARSABLE  # nested deeper than any answer
    finally:
        alarm(0)


def _confine() -> None:
    """Give up writing, connecting and starting processes, where the machine knows how.

    A second line: what reads the answers of a model is a large library, not a sandbox.
    """
    with contextlib.suppress(FilterError, LockdownError, OSError, AttributeError):
        program = compile_filter(False)
        confine_reader(program)


def main() -> None:
    """Serve until the parent closes its end."""
    memory_mb = int(sys.argv[1])
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):  # nothing a library prints may reach the messages
        os.dup2(null, fd)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    import tad_core.verify.symbolic

    ready = tad_core.verify.symbolic.warm_up()
    os.dup2(null, 2)  # until here it says what was missing, and nobody reads it from here on
    _confine()
    frames.send(outbox, {"ready": ready})
    with contextlib.suppress(frames.ClosedError):
        while True:
            job = frames.receive(inbox)
            verdict = judge(job["prediction"], job["reference"], job["kind"], job["timeout_s"])
            frames.send(outbox, {"verdict": verdict.value})

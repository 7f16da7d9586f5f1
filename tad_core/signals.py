"""Taking over a signal, as far as whoever started the process leaves it to be taken."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

_asked = False


def take_over(number: int, handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> bool:
    """Handle a signal, unless it is ignored; returns whether it is handled now.

    ``nohup`` starts a command with SIGHUP ignored, and a shell that is not interactive starts what it puts into the
    background with SIGINT ignored. It is inherited through exec, and a handler would undo what was asked for.
    """
    if signal.getsignal(number) is signal.SIG_IGN:
        return False
    signal.signal(number, handler)
    return True


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """A handler that raises ``KeyboardInterrupt`` and notes it: what fails from then on fails because of it.

    Where an exception comes out of nowhere some library may drop it; and ``asyncio`` replaces Python's own handler of
    Ctrl-C, but no other, by one that a coroutine can swallow.
    """
    global _asked
    _asked = True
    raise KeyboardInterrupt


def asked_to_stop() -> bool:
    """Whether ``interrupt`` was called since ``begin_anew``."""
    return _asked


def begin_anew() -> None:
    """A new command: nobody has asked it to stop yet."""
    global _asked
    _asked = False

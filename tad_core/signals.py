"""Taking over a signal, as far as whoever started the process leaves it to be taken."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def take_over(number: int, handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> bool:
    """Handle a signal, unless it is ignored; returns whether it is handled now.

    ``nohup`` starts a command with SIGHUP ignored, and a shell that is not interactive starts what it puts into the
    background with SIGINT ignored. It is inherited through exec, and a handler would undo what was asked for.
    """
    if signal.getsignal(number) is signal.SIG_IGN:
        return False
    signal.signal(number, handler)
    return True

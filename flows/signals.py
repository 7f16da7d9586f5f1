"""What ends a command, and what does not because it was started so."""

from __future__ import annotations

import signal
import threading

from tad_core.signals import begin_anew, interrupt, take_over

_ignored: set[int] = set()


def stop_politely() -> None:
    """Let a closed terminal and a polite kill be Ctrl-C too, unless they were ignored at the start."""
    begin_anew()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and not take_over(number, interrupt):
            _ignored.add(number)


def keep_ignored() -> None:
    """Ignore again what was ignored at the start; at the beginning of a flow, whose engine takes over SIGTERM."""
    if threading.current_thread() is threading.main_thread():
        for number in _ignored:
            signal.signal(number, signal.SIG_IGN)

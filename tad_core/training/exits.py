"""What a training process and the one that started it agree on; light enough to import anywhere."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]

#: a line that begins so tells the parent what went wrong, whatever launcher stands between
ERROR_PREFIX = "TRAINING_ERROR "
#: set by ``watch``: the process is nobody's without the one this names (see ``parent_tag``)
CHILD_VARIABLE = "TAD_TRAINING_CHILD"

EXIT_OUT_OF_MEMORY = 3
#: the run was asked to stop and saved a checkpoint first (EX_TEMPFAIL)
EXIT_INTERRUPTED = 75

STOPPED = "training was asked to stop and saved a checkpoint; run the same command to go on"

_POLL_S = 2.0


def say(line: str) -> None:
    """Print a line at once; nobody listening any more is no reason to fail, least of all before a checkpoint."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parent_tag() -> str:
    """This process by host, number and start time: a number alone may be given again."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def is_gone(tag: str) -> bool:
    """Whether the process of a ``parent_tag`` has ended; False for one of another host, which cannot be asked."""
    host, number, created = tag.split(" ")
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(number))
        return bool(process.create_time() != float(created) or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def when_gone(tag: str, act: Callable[[], None], poll_s: float = _POLL_S) -> None:
    """Call ``act`` in a thread once the process of ``tag`` has ended.

    The kernel tells a child when its own parent dies; with a launcher in between that is the launcher, which may
    well survive the one that started it all (deepspeed's does).
    """

    def look() -> None:
        while not is_gone(tag):
            time.sleep(poll_s)
        act()

    threading.Thread(target=look, daemon=True, name="parent-watch").start()

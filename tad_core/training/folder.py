"""The folder of a training: one run at a time works in it, whoever started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tad_core.errors import SubprocessError

#: how long a run waits for an earlier one in the same folder, which may be saving its last checkpoint
LOCK_WAIT_S = 60.0
_LOCK = ".lock"


@contextlib.contextmanager
def alone(outputs: Sequence[Path]) -> Iterator[list[int]]:
    """Hold the locks of these folders; the child inherits them, so that they are free only when both are gone.

    Raises:
        SubprocessError: another run goes on in one of them.
    """
    with contextlib.ExitStack() as stack:
        handles = []
        for output in sorted(outputs):  # in one order everywhere, so that no two wait for each other
            output.mkdir(parents=True, exist_ok=True)
            handle = os.open(output / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, handle)
            _lock(handle, output)
            handles.append(handle)
        yield handles


def _lock(handle: int, output: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SubprocessError(
                    f"another training process works in {output}; wait for it, or stop it, then run again"
                ) from None
            time.sleep(0.2)
        except OSError:  # a file system without locks: then nobody can tell
            return


def start_anew(output: Path) -> None:
    """Remove what earlier runs left in a folder, once none of them works in it any more: one whose parent was killed
    may still be saving.

    Raises:
        SubprocessError: another run goes on in it.
    """
    with alone([output]):
        for path in output.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

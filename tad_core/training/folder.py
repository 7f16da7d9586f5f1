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
from tad_core.presence import make_folder

#: how long a run waits for an earlier one in the same folder, which may be saving its last checkpoint
LOCK_WAIT_S = 60.0
#: held while a process works in it, its child too; and by who starts that process, from before until all is taken out
_LOCK, _OWNER = ".lock", ".owner"
#: between two looks at whether a lock is free
_LOOK_S = 0.2


@contextlib.contextmanager
def alone(outputs: Sequence[Path]) -> Iterator[list[int]]:
    """Hold the locks of these folders; the child inherits them, so that they are free only when both are gone.

    Raises:
        SubprocessError: another run goes on in one of them.
    """
    with _locked(outputs, _LOCK) as handles:
        yield handles


@contextlib.contextmanager
def owned(outputs: Sequence[Path]) -> Iterator[None]:
    """Be the only one who starts trainings in these folders and takes out what they leave, until the block ends.

    Claims of the store say the same, unless it is another store, or one of the two could not renew its claim.

    Raises:
        SubprocessError: another run has one of them.
    """
    with _locked(outputs, _OWNER):
        yield


@contextlib.contextmanager
def _locked(outputs: Sequence[Path], name: str) -> Iterator[list[int]]:
    with contextlib.ExitStack() as stack:
        handles = []
        for output in sorted(outputs):  # in one order everywhere, so that no two wait for each other
            handle = _lock(output, name)
            stack.callback(os.close, handle)
            handles.append(handle)
        yield handles


def _lock(output: Path, name: str) -> int:
    """The descriptor of a file in a folder that is there when it is locked: who had the lock may have removed both."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        make_folder(output)
        try:
            handle = os.open(output / name, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the folder is being removed
            continue
        try:
            while not _has(handle, output, deadline):
                time.sleep(_LOOK_S)
            if _is_at(handle, output / name):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _has(handle: int, output: Path, deadline: float) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if time.monotonic() > deadline:
            raise SubprocessError(
                f"another training process works in {output}; wait for it, or stop it, then run again"
            ) from None
        return False
    except OSError:  # a file system without locks: then nobody can tell
        pass
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether a file that is open is the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


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
            elif path.name not in (_LOCK, _OWNER):
                path.unlink()

"""Whether the stores that this process writes to are still where they were.

A store on a disk that is moved or removed during a run, or whose disk is unmounted, must not be begun anew in its
place: half of the run would be in each, or on the disk below the mount point.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

#: folders of stores, and which each was when it was expected to stay: its inode and its disk
_EXPECTED: dict[Path, tuple[int, int]] = {}


class GoneError(FileNotFoundError):
    """A store's folder is not there any more."""


def expect(folder: Path) -> None:
    """From now on it is gone, and not new, where it is not there; of one that is not there now, nothing is expected."""
    for place in _names(folder):
        if place not in _EXPECTED:
            with contextlib.suppress(OSError):
                _EXPECTED[place] = _which(place)


def expect_nothing(of: Path | None = None) -> None:
    """Whatever is missing is new: a run begins. Of all stores, or of one."""
    if of is None:
        _EXPECTED.clear()
    else:
        for place in _names(of):
            _EXPECTED.pop(place, None)


def make_folder(folder: Path) -> None:
    """Make a folder and what of its path is missing.

    Raises:
        GoneError: it is in a store that is gone.
        OSError: it cannot be made.
    """
    if (root := _gone(folder.absolute())) is not None:
        raise GoneError(errno.ENOENT, "the store is not there any more", str(root))
    folder.mkdir(parents=True, exist_ok=True)


def gone() -> str:
    """What to tell of a store that is gone, whatever it was that failed for it; empty where none is."""
    return next((told(str(root)) for root, which in _expected() if not _is_there(root, which)), "")


def told(place: str) -> str:
    """The error of a store, or of a folder of it, that is gone."""
    return (
        f"store: {place} is not there any more: it was moved or removed, or its disk is not mounted; what was finished "
        "is in it: put it back, then run the same command again"
    )


def _names(folder: Path) -> tuple[Path, Path]:
    """As it was given and without links: a run is checked by the one and works by the other."""
    return folder.absolute(), folder.resolve()


def _gone(folder: Path) -> Path | None:
    mine = ((root, which) for root, which in _expected() if folder.is_relative_to(root))
    return next((root for root, which in mine if not _is_there(root, which)), None)


def _expected() -> list[tuple[Path, tuple[int, int]]]:
    """At this moment: a run in another thread may begin."""
    return list(_EXPECTED.items())


def _which(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_ino, found.st_dev


def _is_there(root: Path, expected: tuple[int, int]) -> bool:
    try:
        (inode, disk), (first, own) = _which(root), expected
        # Some file systems give a folder another inode at any time, and a copy may have been put back; a disk that is
        # mounted anew may have another number, and below a mount point with nothing mounted is another disk.
        return inode == first or (disk == own and bool(os.listdir(root)))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # what else is wrong says whoever uses it
        return True

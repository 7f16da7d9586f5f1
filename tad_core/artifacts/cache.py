"""This host's own folder: copies from a remote store, files on their way to it, tables and checkpoints of training.

It is ``TAD_CACHE``, by default ``~/.cache/tad``. What it refuses is told as its own error: a store that is full has
another remedy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tad_core.artifacts.unwritable import is_in, takes_nothing, why
from tad_core.errors import StoreError

_REMEDY = "free space there, or set TAD_CACHE to another folder"


def cache_place(*parts: str) -> Path:
    """Where ``cache_folder`` is or would be; nothing is made."""
    root = os.environ.get("TAD_CACHE") or str(Path.home() / ".cache" / "tad")
    return Path(root).expanduser().joinpath(*parts)


def cache_folder(*parts: str) -> Path:
    """A folder in it.

    Raises:
        StoreError: it cannot be made.
    """
    folder = cache_place(*parts)
    with cache_errors():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def cache_errors() -> Iterator[None]:
    """Inside, what the disk refuses of this folder is a ``StoreError`` that names it; other faults stay as they are.

    For what reads a store and writes here: a file system that has no room is the one that is written.
    """
    try:
        yield
    except OSError as error:
        if not _is_here(error):
            raise
        raise StoreError(
            f"TAD_CACHE: {error.filename or cache_place()} cannot be written ({why(error)}); what was finished before "
            f"is safe: {_REMEDY}, then run the same command again"
        ) from error


def check_cache(need_bytes: int = 0) -> None:
    """Fail before any work if it cannot be written or has too little room.

    Raises:
        StoreError: naming it, what is wrong and the remedy.
    """
    folder = cache_folder()
    with cache_errors(), tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"\0" * 4096)
        probe.flush()
    if (free := shutil.disk_usage(folder).free) < need_bytes:
        raise StoreError(
            f"TAD_CACHE: {folder} has {free >> 20} MiB free and the run needs about {need_bytes >> 20} MiB for copies "
            f"of what its store holds; {_REMEDY}"
        )


def _is_here(error: OSError) -> bool:
    """Whether it says of this folder, or of one above it that had to be made, that it cannot be written."""
    if not isinstance(error.filename, str):  # an object store has none, and a file that takes no more
        return takes_nothing(error)
    return is_in(cache_place(), error.filename)

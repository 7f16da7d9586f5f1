"""Writes that survive a kill and a power cut: synced, moved into place, the folder synced."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tad_core.errors import ConfigError


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def readable(file: Path) -> None:
    """Give a file the mode that any new file has here: safetensors writes its own for their owner alone."""
    file.chmod(0o666 & ~_umask())


def _umask() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # asking the system sets it for a moment, under the feet of other threads
        line = next((x for x in status.read_text().splitlines() if x.startswith("Umask:")), "")
        if line:
            return int(line.split()[1], 8)
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def publish(part: Path, target: Path) -> None:
    """Give a finished file its name: under ``target`` is the old file or the new one, never half of it."""
    readable(part)
    sync(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    sync(target.parent)


def check_place(folder: Path, name: str) -> None:
    """Fail before any work if a folder can neither be made nor written.

    Args:
        folder: may be there already; only a file that is gone again is made, in what of its path is there.
        name: of the argument or field that it was given as.

    Raises:
        ConfigError: with the reason.
    """
    try:
        there = nearest(folder)
        if there.is_dir():
            with tempfile.TemporaryFile(dir=there):
                return
        why = f"{there} is a file"
    except OSError as error:
        why = error.strerror or str(error)
    raise ConfigError(f"{name}: {folder} cannot be written ({why}); name another folder")


def nearest(path: Path) -> Path:
    """What is there of a path: it, or the folder above it that is.

    Raises:
        OSError: it cannot be looked for.
    """
    whole = path.expanduser().absolute()
    return next(place for place in (whole, *whole.parents) if place.exists())

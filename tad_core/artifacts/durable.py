"""Writes that survive a kill and a power cut: synced, moved into place, the folder synced."""

from __future__ import annotations

import os
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


def check_unused(out: Path) -> None:
    """Raise ``ConfigError`` for a folder that holds something, and so cannot become what is written."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out: {out} has something in it; name a new folder, or empty it")

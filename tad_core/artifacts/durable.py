"""Writes that survive a kill and a power cut: synced, moved into place, the folder synced."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(part: Path, target: Path) -> None:
    """Give a finished file its name: under ``target`` is the old file or the new one, never half of it."""
    sync(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    sync(target.parent)

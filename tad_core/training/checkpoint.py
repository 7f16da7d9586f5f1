"""Checkpoints that exist only when they are whole: a marker file is written last.

A checkpoint is a folder ``checkpoint-<step>``; its marker lists the files and their sizes. A process killed at any
point leaves either no marker or a complete checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from tad_core.artifacts.durable import publish, sync

MARKER = "complete.json"
PREFIX = "checkpoint-"
KEEP = 2


def seal(folder: Path, mark: str) -> None:
    """Sync every file of a checkpoint, then publish its marker."""
    files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    for name in files:
        sync(folder / name)
    sync(folder)
    write_atomic(
        folder / MARKER, json.dumps({"mark": mark, "step": step_of(folder), "files": files}, indent=1)
    )
    sync(folder.parent)


def newest(output: Path, mark: str) -> Path | None:
    """The complete checkpoint of run ``mark`` with the most steps."""
    return next((folder for folder in reversed(_folders(output)) if is_complete(folder, mark)), None)


def is_complete(folder: Path, mark: str) -> bool:
    """Whether the marker is there, is of run ``mark``, and every file has the size it says."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in marker["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(marker.get("mark") == mark and sizes == marker["files"])


def clean(output: Path, mark: str, keep: int = KEEP) -> None:
    """Drop incomplete checkpoints, those of other runs, and all but the newest ``keep``."""
    whole = [folder for folder in _folders(output) if is_complete(folder, mark)]
    for folder in _folders(output):
        if folder not in whole[-keep:]:
            # The marker goes first, so that a kill in the middle leaves nothing that looks whole.
            (folder / MARKER).unlink(missing_ok=True)
            shutil.rmtree(folder)


def step_of(folder: Path) -> int:
    """Optimizer steps done in a checkpoint."""
    return int(folder.name.removeprefix(PREFIX))


def write_atomic(path: Path, text: str) -> None:
    """Write, sync, move into place, sync the folder: the file is old or new, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    publish(part, path)


def _folders(output: Path) -> list[Path]:
    found = [p for p in output.glob(f"{PREFIX}*") if p.is_dir() and p.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=step_of)

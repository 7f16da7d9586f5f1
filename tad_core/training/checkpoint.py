"""Checkpoints that exist only when they are whole: a marker file is written last.

A checkpoint is a folder ``checkpoint-<step>``; its marker lists the files with their sizes and hashes. A process
killed at any point leaves either no marker or a complete checkpoint, also where a library writes in place
(DeepSpeed does), and a file damaged later is found out before it is read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tad_core.artifacts.durable import publish, sync
from tad_core.artifacts.fingerprint import file_sha256
from tad_core.errors import ConfigError

MARKER = "complete.json"
PREFIX = "checkpoint-"
KEEP = 2


def seal(folder: Path, mark: str, layout: str) -> None:
    """Sync every file of a checkpoint, then publish its marker.

    Args:
        folder: the checkpoint, written by all processes.
        mark: identity of the run.
        layout: how the optimizer's state is stored; see ``check_layout``.
    """
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sync(path)
        files[str(path.relative_to(folder))] = [path.stat().st_size, file_sha256(path)]
    sync(folder)
    marker = {"mark": mark, "step": step_of(folder), "layout": layout, "files": files}
    write_atomic(folder / MARKER, json.dumps(marker, indent=1))
    sync(folder.parent)


def newest(output: Path, mark: str) -> Path | None:
    """The checkpoint of run ``mark`` with the most steps among those whose every byte is as it was written."""
    return next((folder for folder in reversed(_folders(output)) if is_intact(folder, mark)), None)


def newest_of_all(runs: Sequence[tuple[Path, str]]) -> int | None:
    """The newest step of which every run (folder and mark) has an intact checkpoint; None if there is none."""
    steps = [{step_of(f) for f in _folders(output) if is_complete(f, mark)} for output, mark in runs]
    for step in sorted(set.intersection(*steps), reverse=True):
        if all(is_intact(output / f"{PREFIX}{step}", mark) for output, mark in runs):
            return step
    return None


def last_step(output: Path) -> int | None:
    """The step of the newest sealed checkpoint; None if there is none."""
    return next((step_of(f) for f in reversed(_folders(output)) if (f / MARKER).exists()), None)


def is_complete(folder: Path, mark: str) -> bool:
    """Whether the marker is there, is of run ``mark``, and every file has the size it says."""
    try:
        marker = _marker(folder)
        return bool(
            marker["mark"] == mark
            and all((folder / name).stat().st_size == size for name, (size, _) in marker["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_intact(folder: Path, mark: str) -> bool:
    """Whether it is complete and every file has the hash it should have; reads everything."""
    if not is_complete(folder, mark):
        return False
    files = _marker(folder)["files"]
    return all(file_sha256(folder / name) == digest for name, (_, digest) in files.items())


def check_layout(folder: Path, layout: str) -> None:
    """Refuse to go on from a checkpoint whose optimizer state this run could not read.

    Raises:
        ConfigError: it was written with other values of ``distill.deepspeed``, ``processes`` or ``nodes``.
    """
    found = _marker(folder)["layout"]
    if found != layout:
        raise ConfigError(
            f"distill.deepspeed: {folder} was written with {found}, and this run has {layout}; set deepspeed, "
            f"processes and nodes as they were, or remove {folder.parent} to start again"
        )


def clean(output: Path, mark: str, keep: int = KEEP, until: int | None = None) -> None:
    """Drop incomplete checkpoints, those of other runs, all after step ``until``, and all but the newest ``keep``."""
    whole = [
        folder
        for folder in _folders(output)
        if is_complete(folder, mark) and (until is None or step_of(folder) <= until)
    ]
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


def _marker(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{folder / MARKER} is no marker")
    return found


def _folders(output: Path) -> list[Path]:
    found = [p for p in output.glob(f"{PREFIX}*") if p.is_dir() and p.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=step_of)

"""Checkpoints that exist only when they are whole: a marker file is written last.

A checkpoint is a folder ``checkpoint-<step>``; its marker lists the files with their sizes and hashes. A process
killed at any point leaves either no marker or a complete checkpoint, also where a library writes in place
(DeepSpeed does), and a file damaged later is found out before it is read.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tad_core.artifacts.durable import sync
from tad_core.errors import ConfigError
from tad_core.training.marker import hashes_match, read_marker, sizes_match, write_marker

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
    files = (p for p in folder.rglob("*") if p.is_file())
    write_marker(folder / MARKER, files, mark=mark, step=step_of(folder), layout=layout)
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
    """The step of the newest sealed checkpoint; None if there is none. Nothing is read but markers."""
    return next((step_of(f) for f in reversed(_folders(output)) if _marker(f) is not None), None)


def is_complete(folder: Path, mark: str) -> bool:
    """Whether the marker is there, is of this step of run ``mark``, and every file has the size it says."""
    marker = _marker(folder)
    try:
        return marker is not None and marker.get("mark") == mark and sizes_match(folder, marker)
    except (OSError, ValueError, TypeError):
        return False


def is_intact(folder: Path, mark: str) -> bool:
    """Whether it is complete and every file has the hash it should have; reads everything."""
    if not is_complete(folder, mark):
        return False
    try:
        return hashes_match(folder, _marker(folder) or {})
    except OSError:  # a disk that cannot read it has lost it
        return False


def check_layout(folder: Path, layout: str) -> None:
    """Refuse to go on from a checkpoint whose optimizer state this run could not read.

    Raises:
        ConfigError: it was written with other values of ``distill.deepspeed``, ``processes`` or ``nodes``.
    """
    found = read_marker(folder / MARKER)["layout"]
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


def _marker(folder: Path) -> dict[str, Any] | None:
    """What the marker says; None without one, and for one that is damaged or of another step, as of a copy."""
    try:
        found = read_marker(folder / MARKER)
        return found if found["step"] == step_of(folder) else None
    except (OSError, ValueError, KeyError):
        return None


def _folders(output: Path) -> list[Path]:
    found = [p for p in output.glob(f"{PREFIX}*") if p.is_dir() and p.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=step_of)

"""Markers: small files, written last, that say of others what they hold, and of themselves that they are whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tad_core.artifacts.durable import publish, sync
from tad_core.artifacts.fingerprint import file_sha256, fingerprint

#: marker of a finished training
DONE = "done.json"
#: fields of markers that were written before they had a seal
_UNSEALED = {"mark", "step", "layout", "files"}


def write_marker(path: Path, files: Iterable[Path], **fields: str | int) -> None:
    """Sync these files, which lie beside the marker or below, then publish it with their sizes and hashes."""
    listed = {}
    for file in sorted(files):
        sync(file)
        listed[str(file.relative_to(path.parent))] = [file.stat().st_size, file_sha256(file)]
    sync(path.parent)
    marker = {**fields, "files": listed}
    write_atomic(path, json.dumps({**marker, "seal": _seal(marker)}, indent=1))


def read_marker(path: Path) -> dict[str, Any]:
    """What a marker says.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is none, or was damaged.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no marker")
    seal = found.pop("seal", None)
    if seal is None and found.keys() == _UNSEALED:
        return found
    if seal != _seal(found):
        raise ValueError(f"{path} was damaged")
    return found


def sizes_match(folder: Path, marker: dict[str, Any]) -> bool:
    """Whether every file has the size that the marker says.

    Raises:
        OSError: one is not there.
        TypeError, ValueError: it is no list of files.
    """
    return all((folder / name).stat().st_size == size for name, (size, _) in marker["files"].items())


def hashes_match(folder: Path, marker: dict[str, Any]) -> bool:
    """Whether every file has the hash that the marker says; reads them all.

    Raises:
        OSError: one cannot be read.
    """
    return all(file_sha256(folder / name) == digest for name, (_, digest) in marker["files"].items())


def write_atomic(path: Path, text: str) -> None:
    """Write, sync, move into place, sync the folder: the file is old or new, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    publish(part, path)


def _seal(fields: dict[str, Any]) -> str:
    return fingerprint("marker", 1, fields, [])


def finished_run(folder: Path) -> str | None:
    """The mark of the training that ended in a folder; None without one, or where what says so was damaged."""
    try:
        return str(read_marker(folder / DONE)["mark"])
    except (OSError, ValueError, KeyError):
        return None

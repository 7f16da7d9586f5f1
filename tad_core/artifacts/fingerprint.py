"""Identity of a result: what it was made from, never where or how fast."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; equal values give equal text in every process.

    Raises:
        TypeError: for anything that has no single canonical form (sets, NaN, objects, non-string keys).
    """
    _check(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def fingerprint(stage: str, version: int, fields: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """32 hex digits of sha256 over stage, stage version, config fields and the inputs' fingerprints."""
    text = canonical_json({"stage": stage, "version": version, "fields": fields, "inputs": list(inputs)})
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def file_sha256(path: str | Path) -> str:
    """Hex sha256 of a local file, read in chunks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def folder_fingerprint(
    folder: str | Path,
    suffixes: tuple[str, ...] = (".safetensors", ".json", ".jinja"),
    leave_out: Collection[str] = (),
) -> str:
    """Identity of a checkpoint: the hashes of its files but those of some names, not its path."""
    root = Path(folder)
    files = sorted(
        p for p in root.iterdir() if p.is_file() and p.suffix in suffixes and p.name not in leave_out
    )
    return fingerprint("files", 1, {p.name: file_sha256(p) for p in files}, [])


def _check(value: Any, where: str) -> None:
    if value is None or isinstance(value, (bool, int, str)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value} has no canonical JSON form")
        return
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check(item, f"{where}[{i}]")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: key {key!r} is {type(key).__name__}; only strings are canonical")
            _check(item, f"{where}.{key}")
        return
    raise TypeError(f"{where}: {type(value).__name__} has no canonical JSON form; convert it first")

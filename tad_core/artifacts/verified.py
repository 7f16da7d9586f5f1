"""Which files this host has hashed, so that a file is read once and not by every process that uses it.

A line for each file in ``$TAD_CACHE/verified/<folder>.txt``: its sha256 when it had the stamp beside it. It counts
as long as the file has that very stamp (``stamps``): what was truncated, changed or replaced since has another, and is
read again. What changes without a trace in size, times or ETag, a failing disk say, is beyond it; the readers of
tables find that by the checksums of pages and ``forget`` the file, and ``tad status --verify`` reads everything.

Losing these files costs one reading of everything. Lines are only ever appended, and one that is not whole is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from tad_core.artifacts.cache import cache_folder, cache_place
from tad_core.artifacts.files import is_local, open_url
from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.stamps import Stamp, side_by_side, stamps_of
from tad_core.errors import StoreError

_DIGITS = 64
_COPIES = "files"


class Verified:
    """The hashes that are known of the files in one folder; safe from any thread."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._lock = file, threading.Lock()
        self._known: dict[str, tuple[int, str, str]] = {}
        with contextlib.suppress(OSError):
            if file is not None:
                self._read(file.read_text(encoding="utf-8", errors="replace"))

    def sha256(self, name: str, stamp: Stamp) -> str | None:
        """What the file hashed to when it had this stamp; None if nobody knows."""
        known = self._known.get(name)
        if known is None or not stamp.mark or known[:2] != (stamp.size, stamp.mark):
            return None
        return known[2]

    def note(self, found: Mapping[str, tuple[Stamp, str]]) -> None:
        """Remember what files have hashed to, those whose stamps can be trusted."""
        lines = []
        with self._lock:
            for name, (stamp, sha256) in found.items():
                if stamp.mark and stamp.settled:
                    self._known[name] = (stamp.size, stamp.mark, sha256)
                    lines.append(f"{sha256}\t{stamp.size}\t{stamp.mark}\t{name}\n")
            self._append(lines)

    def forget(self, name: str) -> None:
        """Have a file read again, whatever its stamp."""
        with self._lock:
            if self._known.pop(name, None) is not None:
                self._append([f"{'-' * _DIGITS}\t0\t-\t{name}\n"])

    def _append(self, lines: list[str]) -> None:
        if not lines or self._file is None:
            return
        # A home that cannot be written: this process remembers all the same.
        with contextlib.suppress(OSError):
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, "".join(lines).encode("utf-8"))
            finally:
                os.close(handle)

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            parts = line.split("\t", 3)
            if len(parts) != 4 or len(parts[0]) != _DIGITS or not parts[1].isdigit():
                continue
            sha256, size, mark, name = parts
            if sha256.startswith("-"):
                self._known.pop(name, None)
            else:
                self._known[name] = (int(size), mark, sha256)


def verified_in(url: str) -> Verified:
    """What is known of the files in a folder."""
    fs, root = open_url(url)
    place = str(Path(root).resolve()) if is_local(fs) else url.rstrip("/")
    try:
        return _verified(str(cache_folder("verified")), place)
    except StoreError:
        return _verified("", place)


@lru_cache(maxsize=64)
def _verified(cache: str, place: str) -> Verified:
    mark = hashlib.sha256(place.encode("utf-8")).hexdigest()[:32]
    return Verified(Path(cache) / f"{mark}.txt" if cache else None)


def forget(path: str | Path) -> None:
    """Have a local file read again before it is trusted: a reader found it damaged."""
    folder, name = _placed(Path(path))
    verified_in(str(folder)).forget(name)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a local file, read only if it is not what it was when this host last hashed it.

    Raises:
        OSError: it cannot be read.
    """
    return sha256_of_each([path])[0]


def sha256_of_each(paths: Sequence[str | Path]) -> list[str]:
    """``sha256_of`` of many; what has to be read is read side by side."""
    placed = [_placed(Path(path)) for path in paths]
    folders: dict[Path, list[str]] = {}
    for folder, name in placed:
        folders.setdefault(folder, []).append(name)
    found: dict[tuple[Path, str], str] = {}
    for folder, names in folders.items():
        found.update(((folder, name), sha256) for name, sha256 in _hashes(folder, names).items())
    return [found[place] for place in placed]


def _hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    verified, stamps = verified_in(str(folder)), stamps_of(str(folder), names)
    known = {n: verified.sha256(n, stamps[n]) for n in names if n in stamps}
    unknown = [name for name in dict.fromkeys(names) if known.get(name) is None]
    read = dict(zip(unknown, side_by_side(lambda name: file_sha256(folder / name), unknown), strict=True))
    # What was replaced while it was read has not the stamp that it was asked for by.
    after = stamps_of(str(folder), unknown)
    verified.note({n: (stamps[n], read[n]) for n in unknown if n in stamps and after.get(n) == stamps[n]})
    return {name: read.get(name) or known[name] or "" for name in names}


def copies() -> Path:
    """Where copies of remote files are, ``<sha256>/<name>``."""
    return cache_folder(_COPIES)


def _placed(path: Path) -> tuple[Path, str]:
    """The folder whose list a file is in, and its name there: copies have one list for all."""
    full = path.resolve()
    with contextlib.suppress(OSError):
        root = cache_place(_COPIES).resolve()
        if full.is_relative_to(root):
            return root, str(full.relative_to(root))
    return full.parent, full.name

"""Arrays in files that are made once a host and then mapped: ``$TAD_CACHE/flat/<kind>-<mark>``.

The mark is a hash of all that the arrays are made from, so that nothing stale has the name that is asked for. Beside
the arrays ``flat.json`` lists them with their sha256 and has a checksum of its own; a folder without it, or with a file
that is not what it says, is made again. Everything in here can be removed at any time: it costs the making.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tad_core.artifacts.cache import cache_errors, cache_folder
from tad_core.artifacts.files import staging_prefix, sweep
from tad_core.artifacts.fingerprint import file_sha256, fingerprint
from tad_core.artifacts.stamps import side_by_side
from tad_core.artifacts.verified import sha256_of
from tad_core.errors import ArtifactError

_LIST = "flat.json"
_LOCK = ".lock"
_VERSION = 1
#: Arrays that nobody has mapped for so long are removed when others are made.
_KEPT_S = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Flat:
    """Arrays by name, mapped for reading, and what maps them."""

    arrays: dict[str, NDArray[Any]]
    maps: tuple[mmap.mmap, ...]


class FlatWriter:
    """Files that arrays are appended to, row by row or in pieces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._form: dict[str, tuple[str, list[int]]] = {}

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """More rows of an array; their type and all sizes but the first are those of the first piece."""
        form = (rows.dtype.str, list(rows.shape[1:]))
        assert self._form.setdefault(name, form) == form, f"{name}: {form} is not {self._form[name]}"
        with (self.folder / name).open("ab") as handle:
            handle.write(np.ascontiguousarray(rows).data)

    def close(self) -> None:
        """List what was written."""
        names = list(self._form)
        hashes = side_by_side(lambda name: file_sha256(self.folder / name), names)
        content = {
            name: {"dtype": self._form[name][0], "row": self._form[name][1], "sha256": sha256}
            for name, sha256 in zip(names, hashes, strict=True)
        }
        sealed = {"arrays": content, "seal": _seal(content)}
        (self.folder / _LIST).write_text(json.dumps(sealed, indent=1), encoding="utf-8")


def cached(kind: str, fields: Mapping[str, Any], build: Callable[[FlatWriter], None]) -> Flat:
    """The arrays that ``build`` writes, made by the first process of this host that asks; others wait for it.

    Args:
        kind: what they are, for people.
        fields: all that they are made from.
        build: writes them; what it raises is raised here, and nothing is left.

    Raises:
        ArtifactError: the folder cannot be written, has too little room, or does not keep what is written.
    """
    with cache_errors():
        root = cache_folder("flat")
        folder = root / f"{kind}-{fingerprint(kind, _VERSION, fields, [])}"
        with _lock_of(folder):
            if (found := _open(folder)) is not None:
                os.utime(folder / _LIST)  # its age is how long nobody has asked for it
                return found
            _clear(root, folder)
            shutil.rmtree(folder, ignore_errors=True)
            with _aside(root) as part:
                writer = FlatWriter(part)
                build(writer)
                writer.close()
                part.replace(folder)
        found = _open(folder)
    if found is None:
        raise ArtifactError(
            f"TAD_CACHE: {folder} is not what was just written there; look at the disk, or set TAD_CACHE to a "
            "folder on another one"
        )
    return found


def private(build: Callable[[FlatWriter], None]) -> Flat:
    """The same for this process alone, in files that go with it.

    Raises:
        StoreError: the folder cannot be written, or has too little room.
    """
    with cache_errors(), _aside(cache_folder("flat")) as part:
        writer = FlatWriter(part)
        build(writer)
        writer.close()
        return _mapped(part, json.loads((part / _LIST).read_text(encoding="utf-8"))["arrays"])


def let_go(maps: Iterable[mmap.mmap]) -> None:
    """Give back the memory of what was read of mapped files; the system keeps it as long as it has room."""
    for mapped in maps:
        mapped.madvise(mmap.MADV_DONTNEED)


def _open(folder: Path) -> Flat | None:
    try:
        sealed = json.loads((folder / _LIST).read_text(encoding="utf-8"))
        content = sealed["arrays"]
        if sealed["seal"] != _seal(content):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    names = list(content)
    try:
        hashes = side_by_side(lambda name: sha256_of(folder / name), names)
    except OSError:
        return None
    if hashes != [content[name]["sha256"] for name in names]:
        return None
    return _mapped(folder, content)


def _seal(content: Mapping[str, Any]) -> str:
    return fingerprint("flat", 1, content, [])


def _mapped(folder: Path, content: Mapping[str, Any]) -> Flat:
    arrays: dict[str, NDArray[Any]] = {}
    maps = []
    for name in content:
        row = tuple(content[name]["row"])
        if (folder / name).stat().st_size == 0:
            arrays[name] = np.empty((0, *row), dtype=content[name]["dtype"])
            continue
        with (folder / name).open("rb") as handle:
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        arrays[name] = np.frombuffer(mapped, dtype=content[name]["dtype"]).reshape(-1, *row)
        maps.append(mapped)
    return Flat(arrays, tuple(maps))


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """A folder that does not outlive the block, unless it is moved; what is mapped from it stays readable."""
    part = Path(tempfile.mkdtemp(prefix=staging_prefix(), dir=root))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _lock_of(folder: Path, wait: bool = True) -> IO[bytes]:
    """The lock on a folder, held until it is closed.

    It is a file that whoever holds it may remove. Who waited for one that is gone since, or in whose place there is
    another, holds nothing yet and takes the one that is there.

    Raises:
        BlockingIOError: another has it, and ``wait`` is false.
    """
    path = folder.with_name(f"{folder.name}{_LOCK}")
    while True:
        lock = path.open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(path, lock):
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()


def _is_at(path: Path, file: IO[bytes]) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _clear(root: Path, own: Path) -> None:
    """Remove what killed processes left, and what nobody has used for long, each with its lock; not ``own``.

    What another holds stays, and so does what cannot be looked at or removed, as that of another user.
    """
    sweep(root)
    lists, locks = root.glob(f"*/{_LIST}"), root.glob(f"*{_LOCK}")
    names = {path.parent.name for path in lists} | {path.name.removesuffix(_LOCK) for path in locks}
    for folder in (root / name for name in sorted(names - {own.name})):
        with contextlib.suppress(OSError):
            if not _is_old(folder):
                continue
            with _lock_of(folder, wait=False) as lock:
                if _is_old(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    Path(lock.name).unlink(missing_ok=True)


def _is_old(folder: Path) -> bool:
    """Whether it is not there, or nobody has asked for it for long."""
    try:
        return time.time() - (folder / _LIST).stat().st_mtime > _KEPT_S
    except FileNotFoundError:
        return True

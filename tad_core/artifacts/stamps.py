"""What tells without reading that a file is still what it was: its size, and when or as what it was last written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from tad_core.artifacts.files import is_local, open_url, remote_errors

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Files that are asked for one by one; of more a listing of the folder says it with fewer requests.
ONE_BY_ONE = 16
#: Reads of a store that are under way at once: most of a request to an object store is waiting.
_AT_ONCE = 16
#: A file that changed less than this ago may change again without its times showing it: clocks of file systems tick.
_SETTLED_S = 2.0


@dataclass(frozen=True)
class Stamp:
    """Size in bytes and ``mark``: ETag, or times and inode; empty where the store gives nothing to go by.

    ``settled`` says whether content written after this moment is bound to get another mark.
    """

    size: int
    mark: str
    settled: bool = True


def stamps_of(url: str, names: Collection[str]) -> dict[str, Stamp]:
    """The stamps of files in a folder, those that are missing left out.

    Raises:
        OSError: a remote store does not answer.
    """
    fs, root = open_url(url)
    if is_local(fs):
        # Listings of folders on a network may be old; what is asked of a file is not.
        found = [(name, _local(f"{root}/{name}")) for name in names]
    elif len(names) > ONE_BY_ONE:
        there = listed_stamps(url)
        found = [(name, there.get(name)) for name in names]
    else:
        found = list(
            zip(names, side_by_side(lambda name: _asked(fs, f"{root}/{name}", url), names), strict=True)
        )
    return {name: stamp for name, stamp in found if stamp is not None}


def listed_stamps(url: str) -> dict[str, Stamp]:
    """The stamps of all files in a folder of a remote store, as one listing tells them.

    Raises:
        OSError: the store does not answer.
    """
    fs, root = open_url(url)
    with remote_errors(url):
        try:
            listed = fs.find(root, detail=True)
        except FileNotFoundError:
            return {}
    start = len(fs._strip_protocol(root).rstrip("/")) + 1
    return {str(path)[start:]: _remote(info) for path, info in listed.items()}


def glance(url: str, files: int) -> Mapping[str, Stamp]:
    """Stamps for the verifying of so many files one after the other: one listing, where that takes fewer requests.

    Empty on a disk, which is asked file by file, and where there are few.
    """
    return listed_stamps(url) if files > ONE_BY_ONE and not is_local(open_url(url)[0]) else {}


def side_by_side(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The results in order, of calls that wait for a store; the first exception is raised."""
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(_AT_ONCE, len(todo)), thread_name_prefix="store") as threads:
        return list(threads.map(work, todo))


def _local(path: str) -> Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (a path object for each of thousands is slow)
    except OSError:  # a disk that cannot say has lost it
        return None
    # The change time cannot be set back, whatever a program does to the time of writing.
    mark = f"{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"
    newest = max(found.st_mtime, found.st_ctime)
    return Stamp(found.st_size, mark, settled=time.time() - newest > _SETTLED_S)


def _asked(fs: Any, path: str, url: str) -> Stamp | None:
    with remote_errors(url):
        try:
            return _remote(fs.info(path))
        except FileNotFoundError:
            return None


def _remote(info: dict[str, Any]) -> Stamp:
    mark = info.get("ETag") or info.get("etag") or ""
    return Stamp(int(info["size"]), str(mark).strip('"'))

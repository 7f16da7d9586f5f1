"""The few operations on files that stores and leases need, the same on a disk and on an object store.

Nothing here reads a cached listing: other hosts write to the same place. What an object store's library raises
becomes ``OSError``, so that callers know one kind of failure.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec

from tad_core.artifacts.durable import sync
from tad_core.artifacts.unwritable import ALLOWED, takes_nothing
from tad_core.extras import how_to_install
from tad_core.presence import make_folder

_TMP_PREFIX = ".tmp-"
#: of HTTP: not allowed, with the credentials that were given or without any
_REFUSED = (401, 403)


def open_url(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it; endpoint and credentials come from the environment."""
    if "://" not in url:
        fs, path = fsspec.core.url_to_fs(url)
        return fs, str(path)
    with remote_errors(url):
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return fs, str(path)


def absolute_root(root: str) -> str:
    """A store's root that means the same in every folder: a URL as it is, a path made absolute."""
    return root if "://" in root else str(Path(root).expanduser().resolve())


def is_remote(url: object) -> bool:
    """Whether it is a URL, and not of a file here."""
    return isinstance(url, str) and "://" in url and not url.startswith(("file://", "local://"))


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is this machine's own."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


@contextlib.contextmanager
def remote_errors(url: str = "") -> Iterator[None]:
    """Turn what object stores raise (no credentials, no connection, half an answer) into ``OSError``.

    Where ``url`` is given and none of this machine's files is named, it becomes the error's ``filename``, so that
    whoever tells of it can say which store it was.
    """
    try:
        yield
    except OSError as error:
        raise _of(url, error) from error.__cause__
    except ImportError as error:
        raise OSError(f"{error}; {how_to_install('s3')} for s3:// URLs") from error
    except Exception as error:
        if not isinstance(error, _foreign()):
            raise
        refused = getattr(error, "status", None) in _REFUSED
        raise _of(url, OSError(errno.EACCES if refused else errno.EIO, _said(error))) from error


def no_answer(error: OSError) -> str:
    """What a remote store that refuses, or does not answer, means for a run; empty where it is no error of one."""
    if not is_remote(error.filename):
        return ""
    if isinstance(error, PermissionError):
        return (
            f"store: {error.filename} is refused ({error.strerror or error}); what is finished is kept: {ALLOWED}, "
            "then run the same command again"
        )
    return (
        f"store: {error.filename} cannot be reached or refuses ({error.strerror or error}); what is finished is kept: "
        "check the connection, the bucket, AWS_ENDPOINT_URL and the credentials in the environment, then run the same "
        "command again"
    )


def _of(url: str, error: OSError) -> OSError:
    """The same error; of a remote store with its URL for a file name."""
    if is_remote(url) and error.filename is None and not takes_nothing(error):
        text = _said(error)
        error.filename = url
        if error.strerror is None:  # a plain text, which a name beside it would hide
            error.errno, error.strerror = (
                errno.EACCES if isinstance(error, PermissionError) else errno.EIO,
                text,
            )
    return error


def _said(error: Exception) -> str:
    """What an error says, or what it is: those of a time that is up say nothing."""
    silent = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return str(error) or silent


def _foreign() -> tuple[type[Exception], ...]:
    """What the libraries raise that are loaded, beside ``OSError``."""
    found: list[type[Exception]] = []
    if (botocore := sys.modules.get("botocore.exceptions")) is not None:
        found += [botocore.BotoCoreError, botocore.ClientError]
    if (aiohttp := sys.modules.get("aiohttp")) is not None:
        found.append(aiohttp.ClientError)
    return tuple(found)


def read_bytes(url: str) -> bytes | None:
    """The content; None if there is nothing."""
    fs, path = open_url(url)
    with remote_errors(url):
        try:
            content: bytes = fs.cat_file(path, **_at_once(fs))
        except (FileNotFoundError, NotADirectoryError):
            return None
    return content


def write_bytes(url: str, content: bytes) -> None:
    """Write or replace; a reader sees the old content or the new."""
    fs, path = open_url(url)
    with remote_errors(url):
        if not is_local(fs):
            fs.pipe_file(path, content)
            return
        part = _beside(Path(path), content)
        part.replace(path)


def create_bytes(url: str, content: bytes, durable: bool = False) -> bool:
    """Write if there is nothing yet; False if there is. Of many that try at once, exactly one succeeds.

    A disk: a hard link to a finished file. An object store: a conditional put (``If-None-Match: *``).
    """
    fs, path = open_url(url)
    with remote_errors(url):
        if not is_local(fs):
            try:
                fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            return True
        part = _beside(Path(path), content)
        try:
            if durable:
                sync(part)
            os.link(part, path)
            if durable:
                sync(part.parent)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True


def list_names(url: str) -> set[str]:
    """Names in a folder; empty if there is no folder."""
    fs, path = open_url(url)
    with remote_errors(url):
        try:
            if is_local(fs):
                return set(os.listdir(path))  # noqa: PTH208 (a path object for each of thousands is slow)
            return {str(entry).rpartition("/")[2] for entry in fs.ls(path, detail=False)}
        except (FileNotFoundError, NotADirectoryError):
            return set()


def remove(url: str) -> None:
    """Delete a file if it is there."""
    fs, path = open_url(url)
    with remote_errors(url), contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


@cache
def machine() -> str:
    """What tells whether a process id means the same process here: host, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        return socket.gethostname()
    return f"{socket.gethostname()}.{boot}.{space}"


def staging_prefix() -> str:
    """How the names of this process's unfinished files and folders begin."""
    return f"{_TMP_PREFIX}{machine()}-{os.getpid()}-"


def sweep(folder: Path) -> None:
    """Delete unfinished files and folders that processes of this machine left when they were killed."""
    for orphan in folder.glob(f"{_TMP_PREFIX}{machine()}-*"):
        pid = orphan.name.removeprefix(f"{_TMP_PREFIX}{machine()}-").partition("-")[0]
        if not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        if orphan.is_dir():
            shutil.rmtree(orphan, ignore_errors=True)
        else:
            orphan.unlink(missing_ok=True)


def _at_once(fs: Any) -> dict[str, int]:
    """Options of a read in one request; s3fs would ask for the size first, to read pieces side by side."""
    return {"max_concurrency": 1} if "s3" in fs.protocol else {}


def _beside(target: Path, content: bytes) -> Path:
    make_folder(target.parent)
    part = target.with_name(f"{staging_prefix()}{uuid4().hex[:8]}")
    try:
        part.write_bytes(content)
    except OSError:  # a full disk: it leaves an empty file
        part.unlink(missing_ok=True)
        raise
    return part

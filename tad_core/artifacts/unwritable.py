"""What a disk says that takes nothing more, as one error that names the store and the remedy."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tad_core.errors import ArtifactError, StoreError
from tad_core.presence import GoneError, told

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: nothing that more space would mend
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
#: what to do where a remote store refuses
ALLOWED = (
    "check the bucket, AWS_ENDPOINT_URL and that the credentials in the environment may list the bucket and get, put "
    "and delete its objects (without s3:ListBucket an object that is not there is refused, too)"
)


def takes_nothing(error: OSError) -> bool:
    """Whether the file system says that nothing more can be written, whoever was writing."""
    return error.errno in _NO_ROOM


@contextlib.contextmanager
def disk_errors(url: str) -> Iterator[None]:
    """Inside, what a disk refuses is an ``ArtifactError``; a network's faults stay ``OSError``, which may pass."""
    try:
        yield
    except OSError as error:
        if "://" in url and not (isinstance(error, PermissionError) or takes_nothing(error)):
            raise
        raise unwritable(url, error) from error


@contextlib.contextmanager
def no_room_errors(url: str) -> Iterator[None]:
    """Inside, a disk that takes nothing more is a ``StoreError``; other faults stay as they are, whoever's they are."""
    try:
        yield
    except OSError as error:
        if not takes_nothing(error) and not isinstance(error, GoneError):
            raise
        raise unwritable(url, error) from error


@contextlib.contextmanager
def temporary_errors() -> Iterator[None]:
    """Inside, where nothing but temporary files is written, a disk without room for them is a ``StoreError``."""
    try:
        yield
    except OSError as error:
        if not takes_nothing(error):
            raise
        raise StoreError(
            f"TMPDIR: {tempfile.gettempdir()} takes no temporary file ({why(error)}); what was finished before is "
            "safe: free space there, or set TMPDIR to another folder, then run the same command again"
        ) from error


def unwritable(url: str, error: OSError) -> ArtifactError:
    """The error of a folder of the store that cannot be written; a ``StoreError`` where that is so for all of it, as of
    a remote one that refuses, and of one that is gone.

    A file elsewhere is named as it is: whoever made what was to be stored wrote it.
    """
    if isinstance(error, GoneError):
        return StoreError(told(str(error.filename)))
    refused = "://" in url and isinstance(error, PermissionError)
    kind = StoreError if takes_nothing(error) or refused else ArtifactError
    if isinstance(error.filename, str) and "://" not in url and not is_in(url, error.filename):
        return kind(
            f"{error.filename} cannot be written ({why(error)}); what was finished before is safe: {room(error)}, "
            "then run the same command again"
        )
    remedy = ALLOWED if refused else f"{room(error)}, or choose another folder with --set store=…"
    return kind(
        f"store: {url} cannot be written ({why(error)}); what was finished before is safe: {remedy}, then run the same "
        "command again"
    )


def room(error: BaseException) -> str:
    """What a disk needs that refuses."""
    return "make it writable" if getattr(error, "errno", None) in _NOT_ALLOWED else "free space there"


def is_in(folder: str | Path, path: str) -> bool:
    """Whether a path is in a folder, or is one above it that had to be made, by whichever link it is reached."""
    there, named = Path(folder).absolute(), Path(path).absolute()
    # Some name a file by the path that they were given, others by where its links lead.
    real, real_named = Path(os.path.realpath(there)), Path(os.path.realpath(named))
    return any(b.is_relative_to(a) or a.is_relative_to(b) for a, b in ((there, named), (real, real_named)))


def why(error: OSError) -> str:
    """The reason in words."""
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    if error.errno in _NO_ROOM:  # some libraries say more than the reason
        return os.strerror(error.errno)
    return error.strerror or str(error)

"""A new folder that appears whole, under the name it was asked for, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from uuid import uuid4

from tad_core.artifacts.durable import check_place, readable, sync
from tad_core.artifacts.unwritable import takes_nothing, why
from tad_core.errors import ArtifactError, ConfigError

#: What else is written beside the weights.
_SPARE_BYTES = 64 << 20


def check_unused(out: Path) -> None:
    """Whether a folder can become what is written, before any work.

    Raises:
        ConfigError: it holds something, is a mounted disk, or cannot be made.
    """
    place = _place(out)
    if place.exists():
        if not place.is_dir():
            raise ConfigError(f"--out: {out} is a file; name a new folder")
        if any(place.iterdir()):
            raise _taken(out)
        if os.path.ismount(place):
            raise ConfigError(
                f"--out: {out} is where a disk is mounted, and no folder can take its place; name a folder in it"
            )
    check_place(place.parent, "--out")


@contextlib.contextmanager
def taking_shape(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that becomes it if nothing goes wrong, and goes if something does.

    One that a killed process left there goes, too. A link is followed: the folder appears where it leads.

    Raises:
        ConfigError: ``out`` has something in it, or cannot be made.
        ArtifactError: the disk takes nothing more.
    """
    check_unused(out)
    place = _place(out)
    place.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(place)
    part = place.parent / f".{place.name}.{uuid4().hex[:8]}.part"
    try:
        part.mkdir()
        with _held(part):
            yield part
            for file in part.iterdir():
                readable(file)
                sync(file)
            sync(part)
            part.replace(place)
            sync(place.parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and place.exists():  # another was done before
            raise _taken(out) from None
        if not takes_nothing(error):
            raise
        raise ArtifactError(
            f"--out: {out} was not written ({why(error)}); free space there, or name a folder on a larger disk"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_room(folder: Path, need: int) -> None:
    """Whether ``need`` bytes and a little more fit on the disk of ``folder``.

    Raises:
        ArtifactError: they do not.
    """
    free, need = shutil.disk_usage(folder.parent).free, need + _SPARE_BYTES
    if free < need:
        raise ArtifactError(
            f"--out: {folder.parent} has {free / 1e9:.3f} GB free and the weights take {need / 1e9:.3f} GB; "
            "name a folder on a larger disk"
        )


def _place(out: Path) -> Path:
    """Where it is once links are followed, whether it is there or not."""
    return Path(os.path.realpath(out))


def _taken(out: Path) -> ConfigError:
    return ConfigError(f"--out: {out} has something in it; name a new folder, or empty it")


@contextlib.contextmanager
def _held(part: Path) -> Iterator[None]:
    """Show that somebody is writing it, for as long as this process lives."""
    handle = os.open(part, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: nothing is then taken for abandoned
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _clear_abandoned(place: Path) -> None:
    """Remove what processes left that were killed while they wrote this folder: it may be as large as a model."""
    for part in place.parent.glob(f".{escape(place.name)}.{'[0-9a-f]' * 8}.part"):
        with contextlib.suppress(OSError):
            handle = os.open(part, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(part, ignore_errors=True)
            finally:
                os.close(handle)

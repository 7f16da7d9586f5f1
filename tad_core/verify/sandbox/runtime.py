"""The Python that runs in the sandbox: a copy of this interpreter's standard library, readable by all.

A copy, because the interpreter often lives where the unprivileged user of a sandbox may not look (a
home folder), and because nothing else of that folder is to be seen. It is made once per interpreter
and kept beside other temporary files, so that a run that is killed leaves nothing new behind.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tad_core.errors import VerifierError

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_INSIDE = Path(__file__).parent / "inside"
_LEFT_OUT = ("test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "distutils",
             "site-packages", "dist-packages", "pydoc_data", "config-*", "*.opt-1.pyc", "*.opt-2.pyc")  # fmt: skip


@dataclass(frozen=True)
class Runtime:
    """Where the copies are.

    Attributes:
        python: the folder with the interpreter's copy: ``bin`` and ``lib``.
        own: the folder that holds the package ``inside``.
        executable: the interpreter, relative to ``python``.
        libraries: folders of the standard library, relative to ``python``.
    """

    python: Path
    own: Path
    executable: Path
    libraries: tuple[Path, ...]


def staged_runtime() -> Runtime:
    """The copies for this interpreter and this code, made if they are not there."""
    base = Path(tempfile.gettempdir()) / f"tad-verify-{os.geteuid()}"
    base.mkdir(mode=0o711, exist_ok=True)
    if not _is_ours(base):
        raise VerifierError(f"{base} exists and is not owned by this user alone; remove it")
    library = Path("lib") / _VERSION
    return Runtime(
        python=_staged(base, f"python-{_digest(_identity())}", _copy_python),
        own=_staged(base, f"own-{_digest(_own_files())}", _copy_own),
        executable=Path("bin") / _VERSION,
        libraries=(library, library / "lib-dynload"),
    )


def _identity() -> Iterator[bytes]:
    yield f"{sys.version}\0{sys.base_prefix}".encode()


def _own_files() -> Iterator[bytes]:
    for path in sorted(_INSIDE.glob("*.py")):
        yield path.name.encode() + b"\0" + path.read_bytes() + b"\0"


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _is_ours(path: Path) -> bool:
    """Whether nobody else could have put anything there."""
    status = path.lstat()
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not shared


def _staged(base: Path, name: str, copy: Callable[[Path], None]) -> Path:
    """The finished folder ``name``: built aside, then renamed, so that two runs that start together do not meet."""
    root = base / name
    if not (root / "complete").exists():
        building = Path(tempfile.mkdtemp(dir=base, prefix="building-"))
        try:
            copy(building)
            _open_for_reading(building)
            (building / "complete").touch(mode=0o644)
            try:
                building.rename(root)
            except OSError:
                if not (root / "complete").exists():
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    if not _is_ours(root):
        raise VerifierError(f"{root} is not owned by this user alone; remove it")
    return root


def _copy_own(target: Path) -> None:
    shutil.copytree(_INSIDE, target / "inside", ignore=shutil.ignore_patterns("__pycache__"))


def _copy_python(target: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    copied = target / "lib" / _VERSION
    shutil.copytree(library, copied, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    extensions = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload")
    if not (copied / "lib-dynload").exists() and extensions.exists():
        shutil.copytree(extensions, copied / "lib-dynload")
    (target / "bin").mkdir()
    shutil.copy2(_interpreter(), target / "bin" / _VERSION)
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    if folder and name and ".so" in name and (Path(folder) / name).exists():
        shutil.copy2(Path(folder) / name, target / "lib" / name)


def _interpreter() -> Path:
    """The real binary, not the link of a virtual environment."""
    return (Path(sysconfig.get_config_var("BINDIR") or Path(sys.base_prefix) / "bin") / _VERSION).resolve()


def _open_for_reading(root: Path) -> None:
    root.chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)

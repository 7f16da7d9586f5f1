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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tad_core.errors import VerifierError

_INSIDE = Path(__file__).parent / "inside"
_LEFT_OUT = ("test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "distutils",
             "site-packages", "dist-packages", "pydoc_data", "config-*", "*.opt-1.pyc", "*.opt-2.pyc")  # fmt: skip


@dataclass(frozen=True)
class Runtime:
    """Where the copy is.

    Attributes:
        root: the folder of the copy.
        prefix: where the interpreter believes to be installed.
        executable: its binary inside ``root``.
        paths: ``sys.path`` inside ``root``.
    """

    root: Path
    prefix: Path
    executable: Path
    paths: tuple[Path, ...]


def staged_runtime() -> Runtime:
    """The copy for this interpreter and this code, made if it is not there."""
    base = Path(tempfile.gettempdir()) / f"tad-verify-{os.geteuid()}"
    _make_own_folder(base)
    root = base / _key()
    if not (root / "complete").exists():
        _stage(base, root)
    if not _is_ours(root):
        raise VerifierError(f"{root} is not owned by this user alone; remove it")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = root / "lib" / version
    return Runtime(
        root=root,
        prefix=Path(sys.base_prefix),
        executable=root / "bin" / version,
        paths=(root / "own", library, library / "lib-dynload"),
    )


def _key() -> str:
    digest = hashlib.sha256(f"{sys.version}\0{sys.base_prefix}\0{sys.hexversion}".encode())
    for path in sorted(_INSIDE.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def _make_own_folder(path: Path) -> None:
    path.mkdir(mode=0o711, exist_ok=True)
    if not _is_ours(path):
        raise VerifierError(f"{path} exists and is not owned by this user alone; remove it")


def _is_ours(path: Path) -> bool:
    """Whether nobody else could have put anything there."""
    status = path.lstat()
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not shared


def _stage(base: Path, root: Path) -> None:
    """Copy into a folder of its own, then rename it: two runs that start together do not meet."""
    building = Path(tempfile.mkdtemp(dir=base, prefix="building-"))
    try:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        library = Path(sysconfig.get_path("stdlib"))
        shutil.copytree(library, building / "lib" / version, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        shared_objects = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload")
        if not (building / "lib" / version / "lib-dynload").exists() and shared_objects.exists():
            shutil.copytree(shared_objects, building / "lib" / version / "lib-dynload")
        (building / "bin").mkdir()
        shutil.copy2(_interpreter(), building / "bin" / version)
        for path in _shared_library():
            shutil.copy2(path, building / "lib" / path.name)
        shutil.copytree(_INSIDE, building / "own" / "inside", ignore=shutil.ignore_patterns("__pycache__"))
        _open_for_reading(building)
        (building / "complete").touch(mode=0o644)
        try:
            building.rename(root)
        except OSError:
            if not (root / "complete").exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _interpreter() -> Path:
    """The real binary, not the link of a virtual environment."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (Path(sysconfig.get_config_var("BINDIR") or Path(sys.base_prefix) / "bin") / name).resolve()


def _shared_library() -> Iterator[Path]:
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    if folder and name and ".so" in name and (Path(folder) / name).exists():
        yield Path(folder) / name


def _open_for_reading(root: Path) -> None:
    root.chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)

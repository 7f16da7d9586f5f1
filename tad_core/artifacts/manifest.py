"""What an artifact says of itself; its existence means the artifact is complete."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from tad_core.artifacts.fingerprint import canonical_json, fingerprint
from tad_core.settings import CONFIG_NAME

MANIFEST_NAME = "manifest.json"


#: Hex digits of a file's sha256 in its name, where it is named by its content.
_MARK_DIGITS = 16
_MARKED = re.compile(rf"^(?P<stem>.+)\.(?P<mark>[0-9a-f]{{{_MARK_DIGITS}}})(?P<suffix>\.[^./]+)$")


class FileEntry(BaseModel):
    """One file of an artifact: its sha256, size in bytes and, for tables, its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sha256: str
    bytes: int
    rows: int | None = None


def name_by_content(name: str, sha256: str) -> str:
    """``a.parquet`` as ``a.<16 digits of its sha256>.parquet``: what two write of one thing never takes one place."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{sha256[:_MARK_DIGITS]}{path.suffix}"))


def plain_name(name: str, sha256: str) -> str:
    """The name without its content's mark, if it has one; that by which readers ask for it."""
    found = _MARKED.match(name)
    if found is None or not sha256.startswith(found["mark"]):
        return name
    return found["stem"] + found["suffix"]


class InputEntry(BaseModel):
    """An input as it was when it was read: recipe (fingerprint) and content (digest)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: str
    fingerprint: str
    digest: str


class Manifest(BaseModel):
    """The sidecar written last. ``info`` is the stage's own small summary."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: str
    stage_version: int
    fingerprint: str
    config: dict[str, Any]
    inputs: list[InputEntry]
    files: dict[str, FileEntry]
    info: dict[str, Any] = {}
    code_version: str
    hardware: dict[str, Any]
    wall_s: float
    created_at: str
    seal: str = ""

    def sealed(self) -> Self:
        """The same manifest with its own checksum in ``seal``."""
        return self.model_copy(update={"seal": self._checksum()})

    def is_intact(self) -> bool:
        """Whether nothing in it changed since it was sealed."""
        return self.seal == self._checksum()

    def _checksum(self) -> str:
        return fingerprint("manifest", 1, self.model_dump(mode="json", exclude={"seal"}), [])

    def lean(self) -> Self:
        """The same manifest; what thousands of them have in common, settings and machine, is held once."""
        return self.model_copy(update={"config": _shared(self.config), "hardware": _shared(self.hardware)})

    @property
    def digest(self) -> str:
        """Identity of the content: the names and hashes of the files."""
        return content_digest(self.files)

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(f.rows or 0 for f in self.files.values())


def _shared(tree: dict[str, Any]) -> dict[str, Any]:
    return _tree(json.dumps(tree))


@lru_cache(maxsize=64)
def _tree(text: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(text)
    return tree


def content_digest(files: dict[str, FileEntry]) -> str:
    """32 hex digits over names and hashes; equal for byte-equal artifacts, whenever and on what they were made."""
    hashes = {plain_name(name, e.sha256): e.sha256 for name, e in files.items() if name != CONFIG_NAME}
    return fingerprint("content", 1, hashes, [])


@cache
def code_version() -> str:
    """Package version, with the commit where the code runs from a checkout."""
    try:
        base = version("tad")
    except PackageNotFoundError:
        base = "unpackaged"
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return base
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return base
    return f"{base}+{commit}"


def hardware() -> dict[str, Any]:
    """Where it ran: CPU count, machine, and the GPUs if torch is loaded already."""
    return dict(_hardware("torch" in sys.modules))


@cache
def _hardware(with_torch: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    if with_torch:
        torch = sys.modules["torch"]
        out["torch"] = str(torch.__version__)
        if torch.cuda.is_available():
            out["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    canonical_json(out)
    return out

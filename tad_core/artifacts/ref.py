"""A pointer to an artifact, and what it takes to trust one: the manifest is intact and every file matches it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import fsspec
from pydantic import BaseModel, ConfigDict, model_validator

from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.manifest import MANIFEST_NAME, FileEntry, InputEntry, Manifest
from tad_core.errors import ArtifactError


class ArtifactRef(BaseModel):
    """A pointer to a complete artifact; building one verifies every file against the manifest.

    Small and JSON-serialisable: this, never data, is what crosses a task boundary.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: str
    fingerprint: str
    url: str
    manifest_name: str = MANIFEST_NAME
    digest: str

    @model_validator(mode="after")
    def _verified(self) -> Self:
        manifest = read_manifest(self.url, self.manifest_name)
        if manifest is None:
            raise ValueError(f"{self.url}/{self.manifest_name} is missing or unreadable")
        if (manifest.stage, manifest.fingerprint, manifest.digest) != (
            self.stage,
            self.fingerprint,
            self.digest,
        ):
            raise ValueError(f"{self.url}/{self.manifest_name} is of another artifact")
        if broken := damaged_files(self.url, manifest):
            raise ValueError(f"{self.url}: {', '.join(broken)} missing or different from the manifest")
        return self

    @property
    def manifest(self) -> Manifest:
        """The manifest, read again."""
        manifest = read_manifest(self.url, self.manifest_name)
        if manifest is None:
            raise ArtifactError(f"{self.url}/{self.manifest_name} disappeared; run the stage again")
        return manifest

    def as_input(self) -> InputEntry:
        """How a manifest made from this artifact refers to it."""
        return InputEntry(stage=self.stage, fingerprint=self.fingerprint, digest=self.digest)

    def local(self, name: str) -> Path:
        """A local path of one file: the file itself, or a verified copy of a remote one."""
        fs, root = fsspec.core.url_to_fs(self.url)
        if is_local(fs):
            return Path(root) / name
        entry = self.manifest.files[name]
        cached = Path(tempfile.gettempdir()) / f"tad-cache-{os.getuid()}" / entry.sha256 / Path(name).name
        if not cached.exists() or file_sha256(cached) != entry.sha256:
            cached.parent.mkdir(parents=True, exist_ok=True)
            part = cached.with_name(f"{cached.name}.{os.getpid()}")
            fs.get_file(f"{root}/{name}", str(part))
            if file_sha256(part) != entry.sha256:
                part.unlink()
                raise ArtifactError(f"{self.url}/{name} changed while it was read; run the stage again")
            part.replace(cached)
        return cached

    def local_folder(self, prefix: str = "") -> Path:
        """A local folder with all files under ``prefix`` (a checkpoint, say)."""
        fs, root = fsspec.core.url_to_fs(self.url)
        if is_local(fs):
            return Path(root) / prefix
        target = Path(tempfile.gettempdir()) / f"tad-cache-{os.getuid()}" / self.digest
        for name in self.manifest.files:
            if name.startswith(prefix):
                destination = target / name
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.local(name), destination)
        return target / prefix

    def read_json(self, name: str) -> Any:
        """The parsed content of a JSON file of the artifact."""
        return json.loads(self.local(name).read_text(encoding="utf-8"))


def read_manifest(url: str, name: str = MANIFEST_NAME) -> Manifest | None:
    """The manifest at ``url``, or None when it is missing, truncated or not one."""
    fs, path = fsspec.core.url_to_fs(f"{url}/{name}")
    try:
        manifest = Manifest.model_validate_json(fs.cat_file(path))
    except (OSError, ValueError):
        return None
    return manifest if manifest.is_intact() else None


def damaged_files(url: str, manifest: Manifest) -> list[str]:
    """Names of the files that are missing or whose size or sha256 differs from the manifest."""
    fs, root = fsspec.core.url_to_fs(url)
    return [name for name, entry in manifest.files.items() if not _matches(fs, f"{root}/{name}", entry)]


def _matches(fs: Any, path: str, entry: FileEntry) -> bool:
    digest = hashlib.sha256()
    try:
        if fs.size(path) != entry.bytes:
            return False
        with fs.open(path, "rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == entry.sha256


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is this machine's own."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)

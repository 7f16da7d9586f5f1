"""A pointer to an artifact, and what it takes to trust one: the manifest is intact and every file matches it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator

from tad_core.artifacts.files import cache_folder, is_local, open_url, read_bytes, remote_errors
from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.manifest import MANIFEST_NAME, FileEntry, InputEntry, Manifest, plain_name
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
    #: where a file has its content in its name: the name by which it is asked for -> the name that it has
    _names: dict[str, str] = PrivateAttr(default_factory=dict)

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
        self._names.update((plain_name(name, entry.sha256), name) for name, entry in manifest.files.items())
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
        """A local path of one file: the file itself, or a verified copy of a remote one.

        A file that is named by its content is asked for by the name without it, ``privileged-00000-00064.parquet`` say.
        """
        name = self._names.get(name, name)
        fs, root = open_url(self.url)
        if is_local(fs):
            return Path(root) / name
        entry = self.manifest.files[name]
        cached = cache_folder("files", entry.sha256) / Path(name).name
        if not cached.exists() or file_sha256(cached) != entry.sha256:
            part = cached.with_name(f"{cached.name}.{os.getpid()}.{threading.get_ident()}")
            with remote_errors():
                fs.get_file(f"{root}/{name}", str(part))
            if file_sha256(part) != entry.sha256:
                part.unlink()
                raise ArtifactError(f"{self.url}/{name} changed while it was read; run the stage again")
            part.replace(cached)
        return cached

    def local_folder(self, prefix: str = "") -> Path:
        """A local folder with all files under ``prefix`` (a checkpoint, say)."""
        fs, root = open_url(self.url)
        if is_local(fs):
            return Path(root) / prefix
        target = cache_folder("folders", self.digest)
        for name, entry in self.manifest.files.items():
            destination = target / name
            if not name.startswith(prefix):
                continue
            if not destination.exists() or file_sha256(destination) != entry.sha256:
                destination.parent.mkdir(parents=True, exist_ok=True)
                part = destination.with_name(f".{destination.name}.{os.getpid()}.{threading.get_ident()}")
                shutil.copyfile(self.local(name), part)
                part.replace(destination)
        return target / prefix

    def read_json(self, name: str) -> Any:
        """The parsed content of a JSON file of the artifact."""
        return json.loads(self.local(name).read_text(encoding="utf-8"))


def ref_at(url: str, manifest_name: str = MANIFEST_NAME) -> ArtifactRef:
    """The artifact whose manifest lies in a folder, verified.

    Raises:
        ArtifactError: there is none, or a file of it is damaged.
    """
    manifest = read_manifest(url, manifest_name)
    if manifest is None:
        raise ArtifactError(f"{url}/{manifest_name} is missing or unreadable; run the stage again")
    try:
        return ArtifactRef(
            stage=manifest.stage,
            fingerprint=manifest.fingerprint,
            url=url,
            manifest_name=manifest_name,
            digest=manifest.digest,
        )
    except ValueError as error:
        raise ArtifactError(f"{url}/{manifest_name}: {error}; run the stage again") from None


def read_manifest(url: str, name: str = MANIFEST_NAME) -> Manifest | None:
    """The manifest at ``url``, or None when it is missing, truncated or not one.

    Raises:
        OSError: a remote store does not answer, which says nothing of the artifact.
    """
    try:
        content = read_bytes(f"{url}/{name}")
    except OSError:
        if is_local(open_url(url)[0]):  # a disk that cannot read it has lost it
            return None
        raise
    try:
        manifest = Manifest.model_validate_json(content or b"")
    except ValueError:
        return None
    return manifest if manifest.is_intact() else None


def damaged_files(url: str, manifest: Manifest) -> list[str]:
    """Names of the files that are missing or whose size or sha256 differs from the manifest."""
    fs, root = open_url(url)
    return [name for name, entry in manifest.files.items() if not _matches(fs, f"{root}/{name}", entry)]


def _matches(fs: Any, path: str, entry: FileEntry) -> bool:
    digest = hashlib.sha256()
    try:
        with remote_errors():
            if fs.size(path) != entry.bytes:
                return False
            with fs.open(path, "rb", **({} if is_local(fs) else {"cache_type": "none"})) as handle:
                while chunk := handle.read(8 << 20):
                    digest.update(chunk)
    except FileNotFoundError:
        return False
    except OSError:
        if is_local(fs):
            return False
        raise
    return digest.hexdigest() == entry.sha256

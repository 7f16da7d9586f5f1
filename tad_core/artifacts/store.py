"""The artifact store: content on an fsspec URL, manifest written last, everything verified on reuse.

Layout: ``<root>/<stage>/<fingerprint>/{files…, manifest.json}``. A stage that is made piece by piece (shards)
keeps one manifest a piece in the same folder, e.g. ``shard-00000-00064.json``. Files are written beside their
final name, synced, then moved; on object stores, where an upload is atomic, they are uploaded. A process killed
at any point leaves either no manifest or a complete artifact.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import fsspec
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.manifest import (
    MANIFEST_NAME,
    FileEntry,
    InputEntry,
    Manifest,
    code_version,
    content_digest,
    hardware,
)
from tad_core.errors import ArtifactError

_TMP_PREFIX = ".tmp-"
#: what the file system says when nothing more can be written, whoever was writing
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


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
        if _is_local(fs):
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
        if _is_local(fs):
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


class Store:
    """Artifacts under one fsspec URL."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root).rstrip("/")

    def url(self, stage: str, fingerprint: str) -> str:
        """Folder of one artifact."""
        return f"{self.root}/{stage}/{fingerprint}"

    def find(
        self,
        stage: str,
        fingerprint: str,
        inputs: Sequence[ArtifactRef] = (),
        manifest_name: str = MANIFEST_NAME,
    ) -> ArtifactRef | None:
        """The artifact if it is complete, verifies, and was made from these very inputs; else None."""
        url = self.url(stage, fingerprint)
        manifest = read_manifest(url, manifest_name)
        if manifest is None or manifest.stage != stage or manifest.fingerprint != fingerprint:
            return None
        if [i.digest for i in manifest.inputs] != [i.digest for i in inputs]:
            return None
        try:
            return ArtifactRef(
                stage=stage,
                fingerprint=fingerprint,
                url=url,
                manifest_name=manifest_name,
                digest=manifest.digest,
            )
        except ValidationError:
            return None

    def state(self, stage: str, fingerprint: str, manifest_name: str = MANIFEST_NAME) -> tuple[str, str]:
        """``("done" | "missing" | "broken", why)`` of one artifact, for ``tad status``."""
        url = self.url(stage, fingerprint)
        manifest = read_manifest(url, manifest_name)
        if manifest is None:
            fs, path = fsspec.core.url_to_fs(f"{url}/{manifest_name}")
            return ("broken", "the manifest is unreadable") if fs.exists(path) else ("missing", "")
        if broken := damaged_files(url, manifest):
            return "broken", f"{', '.join(broken)} missing or changed"
        return "done", ""

    def writer(
        self,
        stage: str,
        version: int,
        fingerprint: str,
        config: dict[str, Any],
        inputs: Sequence[ArtifactRef] = (),
        manifest_name: str = MANIFEST_NAME,
    ) -> ArtifactWriter:
        """Open an artifact for writing; nothing is visible before ``commit``."""
        return ArtifactWriter(
            self.url(stage, fingerprint), stage, version, fingerprint, config, inputs, manifest_name
        )

    def scratch(self, stage: str, fingerprint: str) -> Path:
        """A local folder that survives a kill (training checkpoints); removed by its stage when done."""
        fs, path = fsspec.core.url_to_fs(self.url(stage, fingerprint))
        folder = (
            Path(path) / "work" if _is_local(fs) else Path.home() / ".cache" / "tad" / "work" / fingerprint
        )
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def check_writable(self, need_bytes: int = 64 << 20) -> None:
        """Fail before any work if the store cannot be written or has too little room.

        Raises:
            ArtifactError: naming the store, what is wrong and the remedy.
        """
        fs, path = fsspec.core.url_to_fs(self.root)
        probe = f"{path}/.probe-{socket.gethostname()}-{os.getpid()}"
        try:
            fs.makedirs(path, exist_ok=True)
            with fs.open(probe, "wb") as handle:
                handle.write(b"\0" * 4096)
            fs.rm(probe)
        except (OSError, PermissionError) as error:
            raise ArtifactError(
                f"store: {self.root} cannot be written ({_why(error)}); free space there, or choose another "
                "folder with --set store=…"
            ) from None
        if _is_local(fs) and (free := shutil.disk_usage(path).free) < need_bytes:
            raise ArtifactError(
                f"store: {self.root} has {free >> 20} MiB free and the run needs about {need_bytes >> 20} MiB; "
                "free space there, or choose another folder with --set store=…"
            )


class ArtifactWriter:
    """Collects the files of one artifact in a hidden folder and publishes them with the manifest last."""

    def __init__(
        self,
        url: str,
        stage: str,
        version: int,
        fingerprint: str,
        config: dict[str, Any],
        inputs: Sequence[ArtifactRef],
        manifest_name: str,
    ) -> None:
        self.url, self.manifest_name = url, manifest_name
        self._head = {"stage": stage, "stage_version": version, "fingerprint": fingerprint, "config": config}
        self._inputs = [ref.as_input() for ref in inputs]
        self._rows: dict[str, int] = {}
        self._kept: dict[str, FileEntry] = {}
        self._started = time.monotonic()
        self._fs, self._root = fsspec.core.url_to_fs(url)
        with _disk_errors(url):
            if _is_local(self._fs):
                Path(self._root).mkdir(parents=True, exist_ok=True)
                _remove_orphans(Path(self._root))
                name = f"{_TMP_PREFIX}{socket.gethostname()}-{os.getpid()}-"
                self._staging = Path(tempfile.mkdtemp(prefix=name, dir=self._root))
            else:
                self._staging = Path(tempfile.mkdtemp(prefix="tad-upload-"))

    def path(self, name: str, rows: int | None = None) -> Path:
        """Local path under which to write the file that will be called ``name``."""
        if rows is not None:
            self._rows[name] = rows
        target = self._staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        with _disk_errors(self.url):
            self.path(name).write_text(text, encoding="utf-8")

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file, readable."""
        self.write_text(name, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")

    def keep(self, entries: dict[str, FileEntry]) -> None:
        """List files that are in the folder already (shards committed one by one)."""
        self._kept.update(entries)

    def commit(self, info: dict[str, Any] | None = None) -> ArtifactRef:
        """Publish every file, then the manifest.

        Raises:
            ArtifactError: when the disk is full or not writable; nothing is published then.
        """
        with _disk_errors(self.url):
            names = sorted(str(p.relative_to(self._staging)) for p in self._staging.rglob("*") if p.is_file())
            files = dict(self._kept)
            for name in names:
                local = self._staging / name
                files[name] = FileEntry(
                    sha256=file_sha256(local), bytes=local.stat().st_size, rows=self._rows.get(name)
                )
            manifest = Manifest(
                **self._head,
                inputs=self._inputs,
                files=files,
                info=info or {},
                code_version=code_version(),
                hardware=hardware(),
                wall_s=round(time.monotonic() - self._started, 3),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ).sealed()
            for name in names:
                self._publish(self._staging / name, name)
            last = self._staging / ".manifest"
            last.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
            self._publish(last, self.manifest_name)
        self.close()
        return ArtifactRef(
            stage=manifest.stage,
            fingerprint=manifest.fingerprint,
            url=self.url,
            manifest_name=self.manifest_name,
            digest=content_digest(files),
        )

    def close(self) -> None:
        """Drop what was not committed."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise _unwritable(self.url, error) from error

    def _publish(self, local: Path, name: str) -> None:
        target = f"{self._root}/{name}"
        if not _is_local(self._fs):
            self._fs.put_file(str(local), target)
            return
        with local.open("rb") as handle:
            os.fsync(handle.fileno())
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        local.replace(target)
        _sync_folder(Path(target).parent)


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


def _is_local(fs: Any) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_orphans(folder: Path) -> None:
    """Delete hidden folders that a process of this host left when it was killed."""
    for orphan in folder.glob(f"{_TMP_PREFIX}*"):
        host, _, rest = orphan.name.removeprefix(_TMP_PREFIX).rpartition("-")[0].rpartition("-")
        if host == socket.gethostname() and rest.isdigit() and not Path(f"/proc/{rest}").exists():
            shutil.rmtree(orphan, ignore_errors=True)


@contextlib.contextmanager
def _disk_errors(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(url, error) from error


def _unwritable(url: str, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"store: {url} cannot be written ({_why(error)}); what was finished before is safe: free space "
        "or choose another folder with --set store=…, then run the same command again"
    )


def _why(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    return error.strerror or str(error)

"""The artifact store: content on an fsspec URL, manifest written last, everything verified on reuse.

Layout: ``<root>/<stage>/<fingerprint>/{files…, manifest.json}``. A stage that is made piece by piece (shards)
keeps one manifest a piece in the same folder, e.g. ``shard-00000-00064.json``. Files are written beside their
final name, synced, then moved; on object stores, where an upload is atomic, they are uploaded. A process killed
at any point leaves either no manifest or a complete artifact.
"""

from __future__ import annotations

import contextlib
import errno
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
from pydantic import ValidationError

from tad_core.artifacts.durable import publish
from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    code_version,
    content_digest,
    hardware,
)
from tad_core.artifacts.ref import ArtifactRef, damaged_files, is_local, read_manifest
from tad_core.errors import ArtifactError

_TMP_PREFIX = ".tmp-"
#: what the file system says when nothing more can be written, whoever was writing
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


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
            Path(path) / "work" if is_local(fs) else Path.home() / ".cache" / "tad" / "work" / fingerprint
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
        if is_local(fs) and (free := shutil.disk_usage(path).free) < need_bytes:
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
            if is_local(self._fs):
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
        if not is_local(self._fs):
            self._fs.put_file(str(local), target)
            return
        publish(local, Path(target))


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

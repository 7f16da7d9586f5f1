"""Writing one artifact: files aside, then moved into place, the manifest last."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tad_core.artifacts.cache import cache_errors, cache_folder
from tad_core.artifacts.durable import publish
from tad_core.artifacts.files import (
    create_bytes,
    is_local,
    open_url,
    remote_errors,
    remove,
    staging_prefix,
    sweep,
)
from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.manifest import (
    FileEntry,
    Manifest,
    code_version,
    hardware,
    name_by_content,
    plain_name,
)
from tad_core.artifacts.ref import ArtifactRef
from tad_core.artifacts.unwritable import disk_errors, takes_nothing
from tad_core.presence import make_folder

#: when this process last looked for unfinished files in a folder, and how often it does
_SWEPT: dict[str, float] = {}
_SWEEP_S = 60.0


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
        self._by_content: set[str] = set()
        self._kept: dict[str, FileEntry] = {}
        self._started = time.monotonic()
        self._fs, self._root = open_url(url)
        with self._staged():
            folder = Path(self._root) if is_local(self._fs) else cache_folder("uploads")
            make_folder(folder)
            _sweep_at_times(folder)
            self._staging = Path(tempfile.mkdtemp(prefix=staging_prefix(), dir=folder))

    def path(self, name: str, rows: int | None = None, by_content: bool = False) -> Path:
        """Local path under which to write the file that will be called ``name``.

        ``by_content`` puts a part of its sha256 into the name that it has in the folder (``ArtifactRef.local`` finds it
        by ``name`` all the same): for what several may write at once, and not bit for bit alike. A manifest then never
        lies beside a file of another's.
        """
        if by_content:
            self._by_content.add(name)
        if rows is not None:
            self._rows[name] = rows
        target = self._staging / name
        with self._staged():
            make_folder(target.parent)
        return target

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        with self._staged():
            self.path(name).write_text(text, encoding="utf-8")

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file, readable."""
        self.write_text(name, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")

    def keep(self, entries: dict[str, FileEntry]) -> None:
        """List files that are in the folder already (shards committed one by one)."""
        self._kept.update(entries)

    def commit(
        self,
        info: dict[str, Any] | None = None,
        unless: Callable[[], ArtifactRef | None] | None = None,
    ) -> ArtifactRef:
        """Publish every file, then the manifest.

        Args:
            info: the stage's own summary.
            unless: looks whether somebody else has finished the same artifact meanwhile. Then that one is
                returned and nothing is written; and of two that finish at once, one manifest gets in.

        Raises:
            ArtifactError: when the disk is full or not writable; nothing is published then.
        """
        if unless is not None and (other := unless()) is not None:
            self.close()
            return other
        with disk_errors(self.url):
            files, own = dict(self._kept), {}
            for name in sorted(
                str(p.relative_to(self._staging)) for p in self._staging.rglob("*") if p.is_file()
            ):
                local = self._staging / name
                digest = file_sha256(local)
                shown = name_by_content(name, digest) if name in self._by_content else name
                own[shown] = local
                files[shown] = FileEntry(sha256=digest, bytes=local.stat().st_size, rows=self._rows.get(name))
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
            for name, local in own.items():
                self._publish(local, name)
            text = manifest.model_dump_json(indent=1)
            if unless is not None and not create_bytes(
                f"{self.url}/{self.manifest_name}", text.encode(), durable=True
            ):
                if (other := unless()) is not None:
                    self._withdraw({name: files[name] for name in own.keys() - other.manifest.files.keys()})
                    self.close()
                    return other
                unless = None  # what is there is broken or of something else: this one takes its place
            if unless is None:
                last = self._staging / ".manifest"
                with self._staged():
                    last.write_text(text, encoding="utf-8")
                self._publish(last, self.manifest_name)
        self.close()
        return ArtifactRef.of(self.url, self.manifest_name, manifest.lean())

    def close(self) -> None:
        """Drop what was not committed."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, OSError) and takes_nothing(error):
            with self._staged():
                raise error

    def _staged(self) -> AbstractContextManager[None]:
        """Around what is written before it is published: in the store where that is a disk, else on this host."""
        return disk_errors(self.url) if is_local(self._fs) else cache_errors()

    def _withdraw(self, files: dict[str, FileEntry]) -> None:
        """Take away what another's manifest does not list; not what has a name that may by now be another's file."""
        for name, entry in files.items():
            if plain_name(name, entry.sha256) != name:
                remove(f"{self.url}/{name}")

    def _publish(self, local: Path, name: str) -> None:
        target = f"{self._root}/{name}"
        if not is_local(self._fs):
            with remote_errors(self.url):
                self._fs.put_file(str(local), target)
            return
        publish(local, Path(target))


def _sweep_at_times(folder: Path) -> None:
    """What others left is looked for once in a while: every look lists all shards that are there."""
    now = time.monotonic()
    if now - _SWEPT.get(str(folder), -_SWEEP_S) >= _SWEEP_S:
        _SWEPT[str(folder)] = now
        sweep(folder)

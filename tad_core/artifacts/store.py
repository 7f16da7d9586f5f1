"""The artifact store: content on an fsspec URL, manifest written last, everything verified on reuse.

Layout: ``<root>/<stage>/<fingerprint>/{files…, manifest.json}``. A stage that is made piece by piece (shards)
keeps one manifest a piece in the same folder, e.g. ``shard-00000-00064.json``. Files are written beside their
final name, synced, then moved; on object stores, where an upload is atomic, they are uploaded. A process killed
at any point leaves either no manifest or a complete artifact.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tad_core.artifacts.cache import cache_errors, cache_folder, cache_place, check_cache
from tad_core.artifacts.clocks import measured
from tad_core.artifacts.durable import nearest
from tad_core.artifacts.files import (
    is_local,
    list_names,
    machine,
    open_url,
    remote_errors,
    remove,
    sweep,
)
from tad_core.artifacts.leases import Claim, Leases
from tad_core.artifacts.manifest import MANIFEST_NAME
from tad_core.artifacts.ref import NO_STAMPS, ArtifactRef, damaged_files, read_manifest, some_of
from tad_core.artifacts.stamps import Stamp, glance, stamps_of
from tad_core.artifacts.unwritable import ALLOWED, no_room_errors, room, takes_nothing, why
from tad_core.artifacts.writer import ArtifactWriter
from tad_core.errors import ArtifactError, ConfigError
from tad_core.presence import expect, expect_nothing, make_folder

_CREDENTIALS = "check the bucket, AWS_ENDPOINT_URL and the credentials in the environment"
_ANOTHER = "choose another folder with --set store=…"


class Store:
    """Artifacts under one fsspec URL.

    Args:
        root: the URL, or a folder.
        anew: read every file that is verified, also where this host has read it before and it has not changed since.
    """

    def __init__(self, root: str | Path, anew: bool = False) -> None:
        self.root, self.anew = str(root).rstrip("/"), anew
        self._seen: dict[str, Mapping[str, Stamp]] = {}

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
            return ArtifactRef.of(url, manifest_name, manifest, self.anew, self._seen.get(url, NO_STAMPS))
        except ValidationError:
            return None

    def at_a_glance(self, stage: str, fingerprint: str, pieces: int) -> Store:
        """The same store, to look for many pieces of an artifact now: one listing has the stamps of all their files."""
        url, same = self.url(stage, fingerprint), Store(self.root, self.anew)
        same._seen = {url: glance(url, pieces)}
        return same

    def state(self, stage: str, fingerprint: str, manifest_name: str = MANIFEST_NAME) -> tuple[str, str]:
        """``("done" | "missing" | "broken", why)`` of one artifact, for ``tad status``."""
        url = self.url(stage, fingerprint)
        manifest = read_manifest(url, manifest_name)
        if manifest is None:
            there = stamps_of(url, [manifest_name])
            return ("broken", "the manifest is unreadable") if there else ("missing", "")
        if broken := damaged_files(url, manifest, self.anew):
            return "broken", f"{some_of(broken)} missing or changed"
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
        fs, path = open_url(self.url(stage, fingerprint))
        if not is_local(fs):
            folder, before = self._work_here(fingerprint)
            if before.is_dir() and not folder.exists():
                with contextlib.suppress(OSError):  # another store's run was quicker
                    before.rename(folder)
            return cache_folder("work", folder.name)
        folder = Path(path) / "work"
        make_folder(folder)
        return folder

    def _work_here(self, fingerprint: str) -> tuple[Path, Path]:
        """A training's folder on this host, of this remote store alone, and the one that it had in earlier releases."""
        own = hashlib.sha256(self.root.encode()).hexdigest()[:8]
        return cache_place("work", f"{fingerprint}-{own}"), cache_place("work", fingerprint)

    def scratch_errors(self) -> AbstractContextManager[None]:
        """Inside, a disk under such folders that is full is an error of the store, or of ``TAD_CACHE``."""
        return no_room_errors(self.root) if is_local(open_url(self.root)[0]) else cache_errors()

    def scratch_there(self, stage: str, fingerprint: str) -> Path | None:
        """The folder of ``scratch``, if there is one."""
        fs, path = open_url(self.url(stage, fingerprint))
        places = (Path(path) / "work",) if is_local(fs) else self._work_here(fingerprint)
        return next((folder for folder in places if folder.is_dir()), None)

    def manifests(self, stage: str, fingerprint: str) -> set[str]:
        """Names of the manifests of an artifact and its pieces, by one look into the folder; none is verified."""
        names = list_names(self.url(stage, fingerprint))
        return {name for name in names if name.endswith(".json") and not name.startswith(".")}

    def discard(self, stage: str, fingerprint: str, manifest_name: str = MANIFEST_NAME) -> None:
        """Take away a manifest, so that what it describes does not exist any more and is made again."""
        remove(f"{self.url(stage, fingerprint)}/{manifest_name}")

    def sweep(self, stage: str, fingerprint: str) -> None:
        """Delete what killed processes of this machine had begun to write of an artifact, or to fetch of any."""
        fs, path = open_url(self.url(stage, fingerprint))
        if is_local(fs):
            sweep(Path(path))
            return
        for name in ("uploads", "files", "folders"):
            sweep(cache_place(name))

    def leases(self, stage: str, fingerprint: str, lease_s: float) -> Leases:
        """The claims of this process on the pieces of one artifact."""
        return Leases(f"{self.root}/.leases/{stage}/{fingerprint}", lease_s)

    def claims(self, stage: str, fingerprint: str) -> dict[str, Claim]:
        """Who has which piece of an artifact in hand now, for ``tad status``; takes none and writes nothing."""
        return self.leases(stage, fingerprint, math.inf).held_elsewhere()

    def check_reachable(self) -> None:
        """Fail before any work if nothing can be looked for at the root; one listing where it is a URL.

        Raises:
            ConfigError: it is a file or below one, or a URL that no package here opens.
            ArtifactError: it does not answer, or refuses.
        """
        scheme, is_url, _ = self.root.partition("://")
        remedy = _CREDENTIALS if is_url else _ANOTHER
        try:
            if not is_url and not (there := nearest(Path(self.root))).is_dir():
                raise ConfigError(f"store: {self.root} is not a folder ({there} is a file); {remedy}")
            list_names(self.root)
        except ValueError:
            raise ConfigError(
                f"store: {self.root} begins with {scheme}://, which is not known; use a folder, or a URL such as "
                "s3://bucket/folder"
            ) from None
        except OSError as error:
            if isinstance(error.__cause__, ImportError):
                raise ConfigError(f"store: {self.root} cannot be opened: {error}; or use a folder") from None
            if is_url and isinstance(error, PermissionError):
                remedy = ALLOWED
            raise ArtifactError(f"store: {self.root} cannot be read ({why(error)}); {remedy}") from None

    def check_shared(self) -> None:
        """Fail before any work if what one process writes there no other finds.

        Raises:
            ConfigError: it is in the memory of a process.
        """
        if self.root.startswith("memory://"):
            raise ConfigError(
                f"store: {self.root} is in the memory of one process, and a run has several; use a folder, or a URL "
                "such as s3://bucket/folder"
            )

    def free_bytes(self) -> int:
        """Room where it writes: on its own disk, or of a remote one on this host's. Of one that can be written."""
        fs, path = open_url(self.root)
        return shutil.disk_usage(path if is_local(fs) else cache_folder()).free

    def check_writable(self, need_bytes: int = 64 << 20) -> None:
        """Fail before any work if the store, or what this host holds for a remote one, cannot be written or has too
        little room.

        Raises:
            ArtifactError: naming the store or ``TAD_CACHE``, what is wrong and the remedy.
        """
        try:
            fs, path = open_url(self.root)
            probe = f"{path}/.probe-{machine()}-{os.getpid()}"
            with remote_errors(self.root):
                if is_local(fs):
                    fs.makedirs(path, exist_ok=True)
                    expect_nothing(Path(path))
                    expect(Path(path))
                with measured(self.root, partial(_written_at, fs, probe)), fs.open(probe, "wb") as handle:
                    handle.write(b"\0" * 4096)
                if is_local(fs):
                    self._check_links(Path(probe))
                fs.rm_file(probe)
        except OSError as error:
            remedy = f"{room(error)}, or {_ANOTHER}"
            if "://" in self.root:
                remedy = ALLOWED if isinstance(error, PermissionError) else _CREDENTIALS
            raise ArtifactError(f"store: {self.root} cannot be written ({why(error)}); {remedy}") from None
        if not is_local(fs):
            check_cache(need_bytes)
        elif (free := self.free_bytes()) < need_bytes:
            raise ArtifactError(
                f"store: {self.root} has {free >> 20} MiB free and the run needs about {need_bytes >> 20} MiB; "
                f"free space there, or {_ANOTHER}"
            )

    def _check_links(self, probe: Path) -> None:
        """By a second name of one file it is settled who of many is first; some file systems give none."""
        second = probe.with_name(f"{probe.name}-link")
        try:
            second.unlink(missing_ok=True)
            os.link(probe, second)
        except OSError as error:
            if takes_nothing(error):
                raise
            probe.unlink()
            raise ArtifactError(
                f"store: {self.root} is on a file system without hard links ({why(error)}), by which runs agree on who "
                f"makes what; {_ANOTHER}, on another file system"
            ) from None
        second.unlink()


def _written_at(fs: Any, path: str) -> float | None:
    """When a file was written by the clock of where it is, in Unix time; None where that is not told."""
    with contextlib.suppress(NotImplementedError, KeyError, AttributeError, TypeError):
        when = fs.modified(path)
        # Without a zone it may be of any: hosts in two zones would be hours apart.
        return float(when.timestamp()) if when.tzinfo is not None else None
    return None

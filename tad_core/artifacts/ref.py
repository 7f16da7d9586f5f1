"""A pointer to an artifact, and what it takes to trust one: the manifest is intact and every file matches it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, model_validator

from tad_core.artifacts.cache import cache_errors, cache_folder
from tad_core.artifacts.files import is_local, open_url, read_bytes, remote_errors, staging_prefix
from tad_core.artifacts.fingerprint import file_sha256
from tad_core.artifacts.manifest import MANIFEST_NAME, InputEntry, Manifest, plain_name
from tad_core.artifacts.stamps import Stamp, side_by_side, stamps_of
from tad_core.artifacts.verified import copies, sha256_of, verified_in
from tad_core.errors import ArtifactError

#: of a remote file that is read at once
_PART_BYTES = 8 << 20
#: an ETag that is the MD5 of what was put in one piece, unless the store encrypts with keys of its own
_MD5 = re.compile(r"[0-9a-f]{32}")
NO_STAMPS: Mapping[str, Stamp] = MappingProxyType({})


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
    _manifest: Manifest | None = PrivateAttr(None)

    @classmethod
    def of(
        cls,
        url: str,
        manifest_name: str,
        manifest: Manifest,
        anew: bool = False,
        stamps: Mapping[str, Stamp] = NO_STAMPS,
    ) -> Self:
        """The artifact of a manifest that was just read.

        Args:
            url: its folder.
            manifest_name: in it.
            manifest: what it says.
            anew: read every file though it is known.
            stamps: of files in the folder, asked for just now.

        Raises:
            ValidationError: a file is missing or differs.
        """
        fields = {
            "stage": manifest.stage,
            "fingerprint": manifest.fingerprint,
            "url": url,
            "manifest_name": manifest_name,
            "digest": manifest.digest,
        }
        return cls.model_validate(fields, context={"manifest": manifest, "anew": anew, "stamps": stamps})

    @model_validator(mode="after")
    def _verified(self, info: ValidationInfo) -> Self:
        given = info.context or {}
        manifest = given.get("manifest") or read_manifest(self.url, self.manifest_name)
        if manifest is None:
            raise ValueError(f"{self.url}/{self.manifest_name} is missing or unreadable")
        if (manifest.stage, manifest.fingerprint, manifest.digest) != (
            self.stage,
            self.fingerprint,
            self.digest,
        ):
            raise ValueError(f"{self.url}/{self.manifest_name} is of another artifact")
        if broken := damaged_files(
            self.url, manifest, bool(given.get("anew")), given.get("stamps", NO_STAMPS)
        ):
            raise ValueError(f"{self.url}: {some_of(broken)} missing or different from the manifest")
        self._manifest = manifest
        self._names.update((plain_name(name, entry.sha256), name) for name, entry in manifest.files.items())
        return self

    def __eq__(self, other: object) -> bool:
        """Pointers to the same content are equal, whenever their manifests were written."""
        return isinstance(other, ArtifactRef) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.url, self.manifest_name, self.digest))

    @property
    def manifest(self) -> Manifest:
        """The manifest that the files were held against."""
        assert self._manifest is not None, "building a pointer reads it"
        return self._manifest

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
        cached = copies() / entry.sha256 / Path(name).name
        if not cached.exists() or sha256_of(cached) != entry.sha256:
            with _put_in_place(copies(), cached) as part:
                with remote_errors(f"{self.url}/{name}"):
                    fs.get_file(f"{root}/{name}", str(part))
                if file_sha256(part) != entry.sha256:
                    raise ArtifactError(f"{self.url}/{name} changed while it was read; run the stage again")
        return cached

    def locals(self, names: Sequence[str]) -> list[Path]:
        """``local`` of many files; remote ones are fetched side by side."""
        if is_local(open_url(self.url)[0]):
            return [self.local(name) for name in names]
        return side_by_side(self.local, names)

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
            if not destination.exists() or sha256_of(destination) != entry.sha256:
                with _put_in_place(cache_folder("folders"), destination) as part:
                    shutil.copyfile(self.local(name), part)
        return target / prefix

    def read_json(self, name: str) -> Any:
        """The parsed content of a JSON file of the artifact."""
        return json.loads(self.local(name).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _put_in_place(aside: Path, target: Path) -> Iterator[Path]:
    """A path to write what then becomes ``target``.

    Nothing is left of a block that raises; what is left of one that was killed ``sweep`` finds in the folder ``aside``.

    Raises:
        StoreError: there is no room for it, or it cannot be written.
    """
    part = aside / f"{staging_prefix()}{threading.get_ident()}-{target.name}"
    try:
        with cache_errors():
            yield part
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def ref_at(url: str, manifest_name: str = MANIFEST_NAME) -> ArtifactRef:
    """The artifact whose manifest lies in a folder, verified.

    Raises:
        ArtifactError: there is none, or a file of it is damaged.
    """
    manifest = read_manifest(url, manifest_name)
    if manifest is None:
        raise ArtifactError(f"{url}/{manifest_name} is missing or unreadable; run the stage again")
    try:
        return ArtifactRef.of(url, manifest_name, manifest)
    except ValueError as error:
        raise ArtifactError(f"{url}/{manifest_name}: {error}; run the stage again") from None


def read_manifest(url: str, name: str = MANIFEST_NAME) -> Manifest | None:
    """The manifest at ``url``, or None when it is missing, truncated, not one, or another piece's.

    Raises:
        OSError: a remote store does not answer, which says nothing of the artifact.
    """
    try:
        content = read_bytes(f"{url}/{name}")
    except OSError:
        if is_local(open_url(url)[0]):  # a disk that cannot read it has lost it
            return None
        raise
    manifest = _parsed(content) if content else None
    if manifest is not None and name != MANIFEST_NAME:
        # The files of a piece are called as its manifest is.
        own = f"{name.removesuffix('.json')}."
        return manifest if any(file.startswith(own) for file in manifest.files) else None
    return manifest


@lru_cache(maxsize=16)
def _parsed(content: bytes) -> Manifest | None:
    """By content, so that what was replaced meanwhile is never taken for what it was."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValueError:
        return None
    return manifest.lean() if manifest.is_intact() else None


def damaged_files(
    url: str, manifest: Manifest, anew: bool = False, stamps: Mapping[str, Stamp] = NO_STAMPS
) -> list[str]:
    """Names of the files that are missing or whose size or sha256 differs from the manifest.

    A file that this host has hashed is not read again while size and ETag, or times and inode, are the same;
    ``anew`` reads all of them. Where ``stamps`` has not all of them, they are asked for here.
    """
    if not manifest.files.keys() <= stamps.keys():
        stamps = stamps_of(url, manifest.files)
    verified = verified_in(url)
    broken, unknown = set(), []
    for name, entry in manifest.files.items():
        stamp = stamps.get(name)
        if stamp is None or stamp.size != entry.bytes:
            broken.add(name)
        elif anew or verified.sha256(name, stamp) != entry.sha256:
            unknown.append(name)
    broken.update(set(unknown) - _read_whole(url, manifest, unknown, stamps))
    for name in broken:
        verified.forget(name)
    return [name for name in manifest.files if name in broken]


def _read_whole(url: str, manifest: Manifest, names: Sequence[str], stamps: Mapping[str, Stamp]) -> set[str]:
    """Those of the files whose content is what the manifest says; they are noted as such with their stamps."""
    read = side_by_side(lambda name: _hashes(url, name, stamps[name]), names)
    whole = {
        n: md5 for n, (sha256, md5) in zip(names, read, strict=True) if sha256 == manifest.files[n].sha256
    }
    # What was replaced while it was read has not the stamp that it was asked for by. A store that has the MD5 of the
    # content for a mark need not be asked again.
    doubtful = [name for name, md5 in whole.items() if stamps[name].mark and stamps[name].mark != md5]
    after = stamps_of(url, doubtful)
    same = {n for n in whole if n not in doubtful or after.get(n) == stamps[n]}
    verified_in(url).note({name: (stamps[name], manifest.files[name].sha256) for name in same})
    return set(whole)


def _hashes(url: str, name: str, stamp: Stamp) -> tuple[str | None, str]:
    """SHA-256 of a file of the store as it is there, None if it cannot be read or is not of this size any more; and its
    MD5, where the stamp may have it for a mark.

    A remote file comes by one request a part and no question of its size, which doubles the requests for small ones.
    """
    fs, root = open_url(url)
    if is_local(fs):
        try:
            return file_sha256(Path(root) / name), ""
        except OSError:
            return None, ""
    digest, at = hashlib.sha256(), 0
    md5 = hashlib.md5(usedforsecurity=False) if _MD5.fullmatch(stamp.mark) else None
    try:
        while at < stamp.size:
            with remote_errors(url):  # one byte more than is left, so that what has grown meanwhile shows
                part = fs.cat_file(f"{root}/{name}", start=at, end=min(at + _PART_BYTES, stamp.size + 1))
            if not part:
                return None, ""
            digest.update(part)
            if md5 is not None:
                md5.update(part)
            at += len(part)
    except FileNotFoundError:
        return None, ""
    if at != stamp.size:
        return None, ""
    return digest.hexdigest(), "" if md5 is None else md5.hexdigest()


def some_of(names: list[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

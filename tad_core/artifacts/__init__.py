"""Artifacts: fingerprints, manifests, the store."""

from tad_core.artifacts.files import absolute_root
from tad_core.artifacts.fingerprint import canonical_json, file_sha256, fingerprint, folder_fingerprint
from tad_core.artifacts.leases import Leases
from tad_core.artifacts.manifest import MANIFEST_NAME, FileEntry, InputEntry, Manifest
from tad_core.artifacts.ref import ArtifactRef, read_manifest, ref_at
from tad_core.artifacts.store import Store
from tad_core.artifacts.writer import ArtifactWriter

__all__ = [
    "MANIFEST_NAME",
    "ArtifactRef",
    "ArtifactWriter",
    "FileEntry",
    "InputEntry",
    "Leases",
    "Manifest",
    "Store",
    "absolute_root",
    "canonical_json",
    "file_sha256",
    "fingerprint",
    "folder_fingerprint",
    "read_manifest",
    "ref_at",
]

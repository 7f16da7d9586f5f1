"""Manifests of shards that were lost after their collection was closed: written anew from the collection's own.

What they describe is still there, and the collection's manifest lists it with its sha256. Nothing is decoded.
"""

from __future__ import annotations

from typing import Any

from tad_core.artifacts import ArtifactRef, read_manifest
from tad_core.artifacts.files import write_bytes
from tad_core.artifacts.manifest import Manifest, plain_name
from tad_core.artifacts.stamps import side_by_side
from tad_core.artifacts.unwritable import disk_errors
from tad_core.stages.cutting import bounds_of


def mend_shards(collection: ArtifactRef) -> int:
    """Write the manifests of shards that are missing or unreadable; how many those were.

    Args:
        collection: closed and verified, so every file that it lists is whole.
    """
    url, whole = collection.url, collection.manifest
    shards = {str(shard["name"]): shard for shard in whole.info["shards"]}
    found = side_by_side(lambda name: read_manifest(url, f"{name}.json"), shards)
    lost = [name for name, manifest in zip(shards, found, strict=True) if manifest is None]
    if lost:
        tables = {plain_name(name, entry.sha256): name for name, entry in whole.files.items()}
        plain = bounds_of([f"{name}.json" for name in shards], "plain")
        compared = max((stop for _, stop in plain), default=0)

        def write(name: str) -> None:
            manifest = _manifest(whole, shards[name], tables[f"{name}.parquet"], compared)
            with disk_errors(url):
                write_bytes(f"{url}/{name}.json", manifest.model_dump_json(indent=1).encode())

        side_by_side(write, lost)
    return len(lost)


def _manifest(whole: Manifest, shard: dict[str, Any], table: str, compared: int) -> Manifest:
    """Of a shard, with the name its table has in the folder."""
    share = shard["rows"] / max(1, whole.info["trajectories"])
    info = {
        "condition": shard["condition"],
        "compared": compared,
        # How long this one took is lost with its manifest; of all together it is known.
        "decode_s": round(float(whole.info.get("decode_s", 0.0)) * share, 3),
        "mended": True,
    }
    return whole.model_copy(update={"files": {table: whole.files[table]}, "info": info}).sealed()

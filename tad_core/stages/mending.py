"""Manifests of shards that were lost after their collection was closed: written anew from the collection's own.

What they describe is still there, and the collection's manifest lists it with its sha256. Nothing is decoded.
"""

from __future__ import annotations

from tad_core.artifacts import ArtifactRef, read_manifest
from tad_core.artifacts.files import write_bytes
from tad_core.artifacts.manifest import plain_name
from tad_core.artifacts.stamps import side_by_side
from tad_core.stages.cutting import bounds_of


def mend_shards(collection: ArtifactRef) -> int:
    """Write the manifests of shards that are missing or unreadable; how many those were.

    Args:
        collection: closed and verified, so every file that it lists is whole.
    """
    names = [str(shard["name"]) for shard in collection.manifest.info["shards"]]
    found = side_by_side(lambda name: read_manifest(collection.url, f"{name}.json"), names)
    lost = [name for name, manifest in zip(names, found, strict=True) if manifest is None]
    for name in lost:
        _write(collection, name)
    return len(lost)


def _write(collection: ArtifactRef, name: str) -> None:
    whole = collection.manifest
    shards = {str(shard["name"]): shard for shard in whole.info["shards"]}
    files = {n: e for n, e in whole.files.items() if plain_name(n, e.sha256) == f"{name}.parquet"}
    share = shards[name]["rows"] / max(1, whole.info["trajectories"])
    plain = bounds_of([f"{one}.json" for one in shards], "plain")
    info = {
        "condition": shards[name]["condition"],
        "compared": max((stop for _, stop in plain), default=0),
        # How long this one took is lost with its manifest; of all together it is known.
        "decode_s": round(float(whole.info.get("decode_s", 0.0)) * share, 3),
        "mended": True,
    }
    manifest = whole.model_copy(update={"files": files, "info": info}).sealed()
    write_bytes(f"{collection.url}/{name}.json", manifest.model_dump_json(indent=1).encode())

"""Where the trajectories to learn from are: paths, for the readers that want arrays and not records."""

from __future__ import annotations

from tad_core.artifacts import ArtifactRef
from tad_core.trajectory.schema import PRIVILEGED


def kept_files(collection_ref: ArtifactRef, filtered_ref: ArtifactRef) -> tuple[list[str], list[str]]:
    """The privileged shards and the verdicts on them, in the same order; see ``training.dataset.load_kept``."""
    names = [s["name"] for s in collection_ref.manifest.info["shards"] if s["condition"] == PRIVILEGED]
    return (
        [str(collection_ref.local(f"{name}.parquet")) for name in names],
        [str(filtered_ref.local(f"{name}.verdicts.parquet")) for name in names],
    )

"""Where the trajectories to learn from are: paths, for the readers that want arrays and not records."""

from __future__ import annotations

from tad_core.artifacts import ArtifactRef
from tad_core.config import Condition


def kept_files(
    collection_ref: ArtifactRef, filtered_ref: ArtifactRef, condition: Condition = "privileged"
) -> tuple[list[str], list[str]]:
    """The shards of a condition and the verdicts on them, in the same order; see ``training.dataset.load_kept``."""
    names = [s["name"] for s in collection_ref.manifest.info["shards"] if s["condition"] == condition]
    return (
        [str(path) for path in collection_ref.locals([f"{name}.parquet" for name in names])],
        [str(path) for path in filtered_ref.locals([f"{name}.verdicts.parquet" for name in names])],
    )

"""The same set-up trained with several seeds, then compared over all of them."""

from __future__ import annotations

from prefect import flow

from flows.pipeline import pipeline
from flows.signals import keep_ignored
from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.stages.replicate import check_seeds, seeded
from tasks.replicate import compare


@flow(name="tad-replicate", flow_run_name="replicate {config.name}")
def replicate_flow(config: TADConfig, seeds: list[int] = [0, 1, 2]) -> ArtifactRef:  # noqa: B006
    """Run the pipeline once for every seed of distillation, then compare.

    Args:
        config: the set-up; its own ``distill.seed`` is not used.
        seeds: two or more.
    """
    keep_ignored()
    check_seeds(seeds)
    runs = [pipeline(seeded(config, seed), "evaluate").evaluated for seed in seeds]
    return compare(config, seeds, runs)

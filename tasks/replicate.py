"""The task that compares several training runs of one set-up."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.report.replicates import PAGE_NAME
from tad_core.stages import replicate as stage
from tasks.caching import CACHED, absolute_store, cache_key, key_parameter
from tasks.records import record_markdown
from tasks.retrying import RETRIED


def compare(config: TADConfig, seeds: Sequence[int], runs: Sequence[dict[str, ArtifactRef]]) -> ArtifactRef:
    """The comparison, shown as an artifact of the run."""
    store = absolute_store(config.store)
    key = cache_key(store, stage.STAGE, stage.key(config, seeds, runs), stage.inputs_of(runs))
    ref = _compare(config, key, list(seeds), list(runs), store)
    text = ref.local(PAGE_NAME).read_text(encoding="utf-8")
    record_markdown("replicates", text, f"{config.name} over seeds {', '.join(map(str, seeds))}")
    return ref


@task(name="replicate", task_run_name="compare runs", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _compare(
    config: TADConfig, key: str, seeds: list[int], runs: list[dict[str, ArtifactRef]], store: Store
) -> ArtifactRef:
    """Compare, or take it from the store."""
    del key
    return stage.compare(config, seeds, runs, store)

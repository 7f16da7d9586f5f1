"""The task that merges the model that a round begins from into its base."""

from __future__ import annotations

from prefect import task

from tad_core.artifacts import ArtifactRef
from tad_core.stages import rounds as stage
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.retrying import RETRIED
from tasks.work import Work


def merge(work: Work, own: stage.Round, adapter: ArtifactRef) -> ArtifactRef:
    """The merged model; ``work`` is the run or the round that made the adapter."""
    key = cache_key(work.store, stage.STAGE, stage.key(work.config, adapter), [adapter])
    run = _merge.with_options(refresh_cache=work.forced("distill"))
    return run(work, key, own.of, list(own.models), adapter)


@task(name="merge", task_run_name="merge {of}", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _merge(work: Work, key: str, of: str, models: list[str], adapter: ArtifactRef) -> ArtifactRef:
    """Merge, or take the model from the store."""
    del key
    own = stage.Round(of, tuple(models))
    listener = work.rows[f"{stage.STAGE} {of}"].listener()
    return stage.merge(work.config, own, adapter, work.store, listener, work.forced("distill"))

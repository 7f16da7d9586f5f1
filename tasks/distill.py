"""The task that trains one adapter in a process of its own."""

from __future__ import annotations

from prefect import task

from tad_core.artifacts import ArtifactRef
from tad_core.stages import distill as stage
from tad_core.stages.distill import Mode
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.logs import forward_lines
from tasks.retrying import RETRIED
from tasks.work import Work


def distill(
    work: Work, mode: Mode, collection: ArtifactRef, filtered: ArtifactRef, windows: ArtifactRef | None
) -> ArtifactRef:
    """One trained adapter: ``quality``, ``speed`` or ``sft``."""
    fingerprint = stage.key_in(work.store, work.config, mode, collection, filtered, windows)
    key = cache_key(work.store, stage.STAGE, fingerprint, [collection, filtered], mode)
    run = _distill.with_options(refresh_cache=work.forced(stage.STAGE))
    return run(work, key, mode, collection, filtered, windows)


@task(name="distill", task_run_name="distill {mode}", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _distill(
    work: Work,
    key: str,
    mode: Mode,
    collection: ArtifactRef,
    filtered: ArtifactRef,
    windows: ArtifactRef | None,
) -> ArtifactRef:
    """Train, resume, or take the adapter from the store."""
    del key
    return stage.distill(
        work.config,
        mode,
        collection,
        filtered,
        windows,
        work.store,
        on_progress=work.rows[f"{stage.STAGE} {mode}"].listener(),
        on_line=forward_lines(),
        force=work.forced(stage.STAGE),
    )

"""The task that reads the windows off the student's confidence."""

from __future__ import annotations

from prefect import task

from tad_core.artifacts import ArtifactRef
from tad_core.stages import calibrate as stage
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.retrying import RETRIED
from tasks.work import Work


def calibrate(work: Work, collection: ArtifactRef, filtered: ArtifactRef) -> ArtifactRef:
    """The confidence curve and the two windows."""
    key = cache_key(
        work.store, stage.STAGE, stage.key(work.config, collection, filtered), [collection, filtered]
    )
    run = _calibrate.with_options(refresh_cache=work.forced(stage.STAGE))
    return run(work, key, collection, filtered)


@task(name="calibrate", task_run_name="calibrate windows", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _calibrate(work: Work, key: str, collection: ArtifactRef, filtered: ArtifactRef) -> ArtifactRef:
    """Measure, or take the curve from the store."""
    del key
    return stage.calibrate(
        work.config,
        collection,
        filtered,
        work.store,
        on_progress=work.rows[stage.STAGE].listener(),
        force=work.forced(stage.STAGE),
    )

"""The task that trains adapters in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from prefect import task

from tad_core.artifacts import ArtifactRef
from tad_core.progress import Progress
from tad_core.stages import distill as stage
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.logs import forward_lines
from tasks.retrying import RETRIED
from tasks.work import Work


def distill(
    work: Work,
    modes: Sequence[str],
    collection: ArtifactRef,
    filtered: ArtifactRef,
    windows: ArtifactRef | None,
) -> dict[str, ArtifactRef]:
    """The trained adapters of one pass, by the names of their models."""
    marks = [stage.key_in(work.store, work.config, mode, collection, filtered, windows) for mode in modes]
    key = cache_key(work.store, stage.STAGE, " ".join(marks), [collection, filtered], " ".join(modes))
    run = _distill.with_options(refresh_cache=work.forced(stage.STAGE))
    return run(work, key, " and ".join(modes), list(modes), collection, filtered, windows)


@task(name="distill", task_run_name="distill {names}", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _distill(
    work: Work,
    key: str,
    names: str,
    modes: list[str],
    collection: ArtifactRef,
    filtered: ArtifactRef,
    windows: ArtifactRef | None,
) -> dict[str, ArtifactRef]:
    """Train, resume, or take the adapters from the store."""
    del key, names
    listeners = {name: work.rows[name].listener() for name in (f"{stage.STAGE} {mode}" for mode in modes)}

    def on_progress(progress: Progress) -> None:
        listeners[progress.stage](progress)

    what = f"{stage.STAGE} {' '.join(modes)}"
    return stage.distill_together(
        work.config,
        modes,
        collection,
        filtered,
        windows,
        work.store,
        on_progress=on_progress,
        on_line=forward_lines(),
        force=work.forced(stage.STAGE),
        go_on=work.has_begun(what),
        on_begun=partial(work.begin, what),
    )

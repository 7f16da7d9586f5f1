"""The task that trains one adapter in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from prefect import get_run_logger, task
from prefect.exceptions import MissingContextError

from tad_core.artifacts import ArtifactRef
from tad_core.stages import distill as stage
from tad_core.stages.distill import Mode
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.retrying import RETRIED
from tasks.work import Work

#: Of the training process's lines, one in so many goes to Prefect; the whole log is a file of its own.
EVERY_LINES = 20
_ALARMING = ("error", "warning", "traceback", "out of memory", "nan")


def distill(
    work: Work, mode: Mode, collection: ArtifactRef, filtered: ArtifactRef, windows: ArtifactRef | None
) -> ArtifactRef:
    """One trained adapter: ``quality``, ``speed`` or ``sft``."""
    fingerprint = stage.key(work.config, mode, collection, filtered, windows)
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


def forward_lines(every: int = EVERY_LINES) -> Callable[[str], None]:
    """A listener that hands every ``every``-th line and whatever looks alarming to the run's log."""
    try:
        log: logging.Logger | logging.LoggerAdapter[logging.Logger] = get_run_logger()
    except MissingContextError:
        log = logging.getLogger(__name__)
    count = 0

    def forward(line: str) -> None:
        nonlocal count
        alarming = any(word in line.lower() for word in _ALARMING)
        if alarming or count % every == 0:
            log.log(logging.WARNING if alarming else logging.INFO, "%s", line.rstrip())
        count += 1

    return forward

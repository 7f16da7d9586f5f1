"""The task that writes the tables and pictures."""

from __future__ import annotations

from prefect import task

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.stages import report as stage
from tad_core.stages.made import RunMade
from tad_core.stages.pipeline import Outcome
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.records import record_markdown, with_pictures
from tasks.retrying import RETRIED
from tasks.work import Work


def report(work: Work, config: TADConfig, outcome: Outcome) -> ArtifactRef:
    """The report of everything the run has made; ``config`` is the whole of it, rounds too."""
    made = outcome.made
    key = cache_key(work.store, stage.STAGE, stage.key(config, made), made.refs(config))
    ref = _report.with_options(refresh_cache=work.forced(stage.STAGE))(work, key, config, made)
    text = ref.local("report.md").read_text(encoding="utf-8")
    record_markdown("report", with_pictures(text, ref.local_folder()), f"Report of {work.config.name}")
    return ref


@task(name="report", task_run_name="report", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _report(work: Work, key: str, config: TADConfig, made: RunMade) -> ArtifactRef:
    """Write it, or take it from the store."""
    del key
    return stage.report(
        config,
        made,
        work.store,
        on_progress=work.rows[stage.STAGE].listener(),
        force=work.forced(stage.STAGE),
    )

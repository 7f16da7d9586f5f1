"""The task that writes the tables and pictures."""

from __future__ import annotations

from prefect import task

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.stages import report as stage
from tad_core.stages.pipeline import Outcome
from tad_core.stages.rounds import RoundMade
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.records import record_markdown, with_pictures
from tasks.retrying import RETRIED
from tasks.work import Work


def report(work: Work, config: TADConfig, outcome: Outcome) -> ArtifactRef:
    """The report of everything the run has made; ``config`` is the whole of it, rounds too."""
    parts = (outcome.collection, outcome.filtered, outcome.windows, outcome.distilled, outcome.evaluated)
    inputs = [ref for ref in parts[:3] if ref is not None]
    inputs += [*outcome.distilled.values(), *outcome.evaluated.values()]
    inputs += [ref for made in outcome.rounds.values() for ref in made.refs]
    key = cache_key(work.store, stage.STAGE, stage.key(config, *parts, outcome.rounds), inputs)
    run = _report.with_options(refresh_cache=work.forced(stage.STAGE))
    ref = run(work, key, config, *parts, {of: made.refs for of, made in outcome.rounds.items()})
    text = ref.local("report.md").read_text(encoding="utf-8")
    record_markdown("report", with_pictures(text, ref.local_folder()), f"Report of {work.config.name}")
    return ref


@task(name="report", task_run_name="report", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _report(
    work: Work,
    key: str,
    config: TADConfig,
    collection: ArtifactRef,
    filtered: ArtifactRef,
    windows: ArtifactRef,
    distilled: dict[str, ArtifactRef],
    evaluated: dict[str, ArtifactRef],
    rounds: dict[str, list[ArtifactRef]],
) -> ArtifactRef:
    """Write it, or take it from the store."""
    del key
    return stage.report(
        config,
        collection,
        filtered,
        windows,
        distilled,
        evaluated,
        work.store,
        on_progress=work.rows[stage.STAGE].listener(),
        force=work.forced(stage.STAGE),
        rounds={of: RoundMade(*refs) for of, refs in rounds.items()},
    )

"""One task a shard of verdicts, and one that sums them up."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.futures import PrefectFuture

from tad_core.artifacts import ArtifactRef
from tad_core.stages import filter as stage
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.records import record_markdown
from tasks.retrying import RETRIED
from tasks.work import Work


def submit_shard(work: Work, shard: stage.ShardToJudge) -> PrefectFuture[ArtifactRef]:
    """Start judging one shard that is collected."""
    key = cache_key(work.store, stage.STAGE, stage.key(work.config, work.plan), [shard.ref], shard.name)
    run = _filter_shard.with_options(refresh_cache=work.forced(stage.STAGE))
    return run.submit(work, key, shard.name, shard.ref)


def is_done(work: Work, collection: ArtifactRef) -> bool:
    """Whether the store has the verdicts of exactly this collection."""
    return work.store.find(stage.STAGE, stage.key(work.config, work.plan), [collection]) is not None


def close(work: Work, collection: ArtifactRef, verdicts: Sequence[ArtifactRef]) -> ArtifactRef:
    """The verdicts as one artifact with their summary."""
    key = cache_key(work.store, stage.STAGE, stage.key(work.config, work.plan), [collection])
    run = _close_filter.with_options(refresh_cache=work.forced(stage.STAGE))
    return run(work, key, collection, list(verdicts))


@task(name="filter", task_run_name="filter {name}", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _filter_shard(work: Work, key: str, name: str, shard: ArtifactRef) -> ArtifactRef:
    """Judge one shard, or take its verdicts from the store."""
    del key
    # Found complete, also by another host while we waited for it: nothing need be judged.
    if (found := work.verdicts.own(stage.ShardToJudge(name, shard))) is not None:
        return found
    listener = work.rows[stage.STAGE].listener(name)
    return stage.filter_shard(
        work.config,
        work.plan,
        shard,
        work.store,
        on_progress=listener,
        force=work.forced(stage.STAGE),
        verifier=work.verifier,
    )


@task(name="verdicts", task_run_name="filter all shards", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _close_filter(work: Work, key: str, collection: ArtifactRef, verdicts: list[ArtifactRef]) -> ArtifactRef:
    """Sum up; ends the run when too few trajectories are kept."""
    del key
    ref = stage.finish_filter(
        work.config, work.plan, collection, verdicts, work.store, force=work.forced(stage.STAGE)
    )
    record_markdown("kept", _table(ref), "What was kept and why the rest was not")
    return ref


def _table(ref: ArtifactRef) -> str:
    summary = stage.read_summary(ref)
    lines = ["| source | condition | kept | of | rejected |", "|---|---|---|---|---|"]
    for entry in summary["by_source"]:
        why = ", ".join(f"{reason} {n}" for reason, n in entry["rejected"].items()) or "none"
        lines.append(
            f"| {entry['source']} | {entry['condition']} | {entry['kept']} | {entry['total']} | {why} |"
        )
    return "\n".join(lines)

"""One task a shard of trajectories, and one that closes the collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect import task
from prefect.futures import PrefectFuture

from tad_core.artifacts import ArtifactRef, Manifest
from tad_core.stages import collect as stage
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.records import record_markdown
from tasks.retrying import RETRIED
from tasks.work import Work

if TYPE_CHECKING:
    from tad_core.stages.collect import ShardSpec


def submit_shard(work: Work, shard: ShardSpec) -> PrefectFuture[ArtifactRef]:
    """Start the task of one shard; it waits in its thread while a worker process computes."""
    key = cache_key(work.store, stage.STAGE, work.plan.fingerprint, part=shard.name)
    run = _collect_shard.with_options(refresh_cache=work.forced(stage.STAGE))
    return run.submit(work, key, shard.index, shard.name)


def close(work: Work, shards: Sequence[ArtifactRef]) -> ArtifactRef:
    """The collection as one artifact; adopted if it is in the store already and nothing is forced."""
    key = cache_key(work.store, stage.STAGE, work.plan.fingerprint)
    # Of a collection that lists other shards the record is as old as that.
    old = bool(shards) and stage.find_closed(work.plan, shards, work.store) is None
    run = _close_collection.with_options(refresh_cache=old or work.forced(stage.STAGE))
    return run(work, key, list(shards))


@task(name="collect", task_run_name="collect {name}", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _collect_shard(work: Work, key: str, index: int, name: str) -> ArtifactRef:
    """Roll out one shard in a worker process, or take it from the store."""
    del key
    # Found complete, also by another host while we waited for it: no worker process need start.
    if (found := work.shares.own(work.plan.shards[index])) is not None:
        return found
    listener = work.rows[stage.STAGE].listener(name)
    shard, force = work.plan.shards[index], work.forced(stage.STAGE)
    job = stage.shard_job(work.config, work.store, shard, force, work.plan.base)
    return work.pool.run(job, listener)


@task(name="collection", task_run_name="collect all shards", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _close_collection(work: Work, key: str, shards: list[ArtifactRef]) -> ArtifactRef:
    """List all shards in one manifest."""
    del key
    if not shards and (found := stage.find_collection(work.plan, work.store)) is not None:
        return found
    ref = stage.finish_collection(work.config, work.plan, shards, work.store)
    record_markdown("throughput", throughput(shards), "Who decoded how much, and how fast")
    return ref


def throughput(shards: Sequence[ArtifactRef]) -> str:
    """A table with a line for each kind of machine that decoded shards of this collection."""
    groups: dict[str, list[Manifest]] = {}
    for shard in shards:
        manifest = shard.manifest
        hardware = manifest.hardware
        gpus = hardware.get("gpus") or []
        what = str(gpus[0]) if gpus else f"CPU, {hardware.get('cpus')} cores"
        groups.setdefault(what, []).append(manifest)
    lines = ["| decoded on | shards | samples | samples/s of one worker |", "|---|---|---|---|"]
    for what, made in sorted(groups.items()):
        rows, seconds = sum(m.rows for m in made), sum(float(m.info["decode_s"]) for m in made)
        lines.append(f"| {what} | {len(made)} | {rows} | {rows / max(seconds, 0.001):.2f} |")
    return "\n".join(lines)

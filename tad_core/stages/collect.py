"""Collection: problems -> shards of trajectories, each an atomic, verified piece of one artifact.

Layout of the artifact: ``privileged-00000-00064.<content>.parquet`` (problems 0 to 63) with its own manifest
``privileged-00000-00064.json``; ``problems.jsonl`` and ``manifest.json`` once all shards are there.
``collection_plan`` says what the shards are.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tad_core.artifacts import ArtifactRef, Manifest, Store
from tad_core.config import Condition, TADConfig, dump_config
from tad_core.data import unknown as unknown_in
from tad_core.data.problem import Problem, problem_lines, read_problem_lines
from tad_core.data.unknown import Unknown
from tad_core.errors import LAST_OF_A_MODEL, ArtifactError, SubprocessError
from tad_core.progress import OnProgress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.collection_plan import (
    STAGE,
    STAGE_VERSION,
    CollectionPlan,
    ShardSpec,
    find_collection,
    find_shard,
    find_shards,
    plan_collection,
)
from tad_core.stages.rolling import roll_out
from tad_core.trajectory.schema import Trajectory
from tad_core.workers.jobs import ShardJob

if TYPE_CHECKING:  # it loads torch
    from tad_core.fitting import Fitting
    from tad_core.workers.pool import Pool

__all__ = [
    "STAGE",
    "STAGE_VERSION",
    "CollectionPlan",
    "ShardSpec",
    "collect",
    "collect_shard",
    "find_closed",
    "find_collection",
    "find_shard",
    "find_shards",
    "finish_collection",
    "help_collect",
    "iter_trajectories",
    "key",
    "plan_collection",
    "read_problems",
    "shard_job",
    "unknown_of",
]

_unknown: dict[str, list[Unknown]] = {}


def key(config: TADConfig) -> str:
    """The fingerprint of the collection a config asks for."""
    return plan_collection(config).fingerprint


def collect_shard(
    config: TADConfig,
    plan: CollectionPlan,
    index: int | ShardSpec,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
    loaded: tuple[Any, Any] | None = None,
    fitting: Fitting | None = None,
) -> ArtifactRef:
    """One shard: found complete, or decoded and written.

    Args:
        config: the run.
        plan: from ``plan_collection``.
        index: which shard, by its place in the plan or itself.
        store: where it lives.
        on_progress: told the samples done.
        force: decode even if it is there.
        loaded: (model, tokenizer) to reuse; loaded here otherwise.
        fitting: what is known of that model's memory.

    Raises:
        OutOfMemoryError: not even one sample fits.
        ModelError: the model was replaced meanwhile.
    """
    shard = plan.shards[index] if isinstance(index, int) else index
    if not force and (ref := find_shard(plan, shard, store)) is not None:
        return ref
    from tad_core.checkpoint import check_unchanged
    from tad_core.models.loading import load_model, load_tokenizer, threads_kept
    from tad_core.trajectory.shards import write_trajectories
    from tad_core.workers.threads import set_threads_for

    name = shard.name
    with threads_kept():
        model, tokenizer = loaded or (load_model(config.model), load_tokenizer(config.model))
        if not loaded and config.model.threads is None:
            set_threads_for([model])
        started = time.monotonic()
        with store.writer(
            STAGE,
            STAGE_VERSION,
            plan.fingerprint,
            config.model_dump(mode="json"),
            manifest_name=f"{name}.json",
        ) as writer:
            rows = roll_out(config, plan, shard, model, tokenizer, on_progress, fitting)
            check_unchanged(config.model, plan.base)
            write_trajectories(writer.path(f"{name}.parquet", rows=len(rows), by_content=True), rows)
            return writer.commit(
                {
                    "condition": shard.condition,
                    "compared": len(plan.compared),
                    "decode_s": round(time.monotonic() - started, 3),
                },
                # Another host may have been quicker, if the claim on this shard ran out meanwhile.
                unless=None if force else lambda: find_shard(plan, shard, store),
            )


def finish_collection(
    config: TADConfig, plan: CollectionPlan, shard_refs: list[ArtifactRef], store: Store
) -> ArtifactRef:
    """Publish the collection once every shard is there.

    Raises:
        ArtifactError: when a shard is missing.
    """
    by_name = {ref.manifest_name: ref for ref in shard_refs}
    if missing := [s.name for s in plan.shards if f"{s.name}.json" not in by_name]:
        raise ArtifactError(
            f"collection {plan.fingerprint}: shard {missing[0]} is missing; run collect again"
        )

    def make() -> ArtifactRef:
        return _close(config, plan, [by_name[f"{s.name}.json"].manifest for s in plan.shards], store)

    return made_once(
        store,
        STAGE,
        plan.fingerprint,
        config.rollout.lease_s,
        lambda: find_closed(plan, shard_refs, store),
        make,
    )


def _close(
    config: TADConfig, plan: CollectionPlan, manifests: Sequence[Manifest], store: Store
) -> ArtifactRef:
    """Publish the collection of these shards."""
    decode_s = sum(float(m.info["decode_s"]) for m in manifests)
    with store.writer(STAGE, STAGE_VERSION, plan.fingerprint, config.model_dump(mode="json")) as writer:
        writer.write_text("problems.jsonl", problem_lines(plan.ordered))
        writer.write_text(CONFIG_NAME, dump_config(config))
        for manifest in manifests:
            writer.keep(manifest.files)
        rows = [m.rows for m in manifests]
        unknown = unknown_of(config, plan)
        return writer.commit(
            {
                "shards": [
                    {"name": s.name, "condition": s.condition, "rows": n}
                    for s, n in zip(plan.shards, rows, strict=True)
                ],
                "problems": len(plan.ordered),
                "base": plan.base,
                "trajectories": sum(rows),
                "decode_s": round(decode_s, 3),
                "left_out": plan.left_out,
                "left_out_examples": plan.left_out_examples,
                **({"unknown": [entry._asdict() for entry in unknown]} if unknown else {}),
                # Of one worker, as shards may run side by side; times are kept to the millisecond.
                "samples_per_s": round(sum(rows) / max(decode_s, 0.001), 3),
            }
        )


def find_closed(plan: CollectionPlan, shard_refs: Sequence[ArtifactRef], store: Store) -> ArtifactRef | None:
    """The finished collection if it lists these very shards.

    One that was lost and decoded again need not be the one that was listed: another GPU may round otherwise.
    """
    found = find_collection(plan, store)
    if found is None or any(
        not ref.manifest.files.items() <= found.manifest.files.items() for ref in shard_refs
    ):
        return None
    return found


def unknown_of(config: TADConfig, plan: CollectionPlan) -> list[Unknown]:
    """Tokens of the problems that the model's tokenizer does not know, by source; counted once a process."""
    if plan.fingerprint not in _unknown:
        _unknown[plan.fingerprint] = unknown_in.count_unknown(config.model, plan.ordered)
    return _unknown[plan.fingerprint]


def collect(
    config: TADConfig,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
    pool: Pool | None = None,
) -> ArtifactRef:
    """The whole collection, missing shards only, over ``rollout.workers`` processes.

    Other processes that collect the same, on this machine or another, take their part of the shards.

    Args:
        config: the run.
        store: where it lives.
        on_progress: told of each shard's samples.
        force: decode even what is there.
        pool: has the processes that decode; one of its own otherwise.
    """
    from tad_core.stages.mending import mend_shards
    from tad_core.stages.sharing import Shares
    from tad_core.workers.devices import workers_of
    from tad_core.workers.fanning import fan_out
    from tad_core.workers.pool import Pool

    plan = plan_collection(config, store)
    if not force and (found := find_collection(plan, store)) is not None:
        mend_shards(found)
        return found
    with Shares(plan, store, config.rollout.lease_s, force) as shares:
        with contextlib.nullcontext(pool) if pool else Pool(config.model) as processes:

            def make(shard: ShardSpec) -> ArtifactRef:
                return processes.run(shard_job(config, store, shard, force, plan.base), on_progress)

            def todo() -> Iterator[ShardSpec | None]:
                for shard in shares.todo():
                    if processes.closed:  # by whoever stops the run, while others have what is left
                        raise SubprocessError("collect: the pool of workers is closed")
                    yield shard

            for shard, ref in fan_out(todo(), make, workers_of(config), processes.close, LAST_OF_A_MODEL):
                shares.ended(shard, ref)
        refs = [shares.refs[shard.name] for shard in plan.shards]
    return finish_collection(config, plan, refs, store)


def help_collect(config: TADConfig, store: Store, pool: Pool, first: float = 0.0) -> None:
    """Roll out shards of a collection that nobody has in hand, one after the other, until none is left.

    Args:
        config: the run.
        store: where the shards live.
        pool: has the process that decodes.
        first: where of all shards to begin, from 0 up to 1, so that processes do not all reach for the same.
    """
    from tad_core.stages.sharing import Shares

    plan = plan_collection(config, store)
    with Shares(plan, store, config.rollout.lease_s, first=int(first * len(plan.shards))) as shares:
        for shard in shares.todo():
            if shard is None:  # others end what is left
                return
            shares.ended(shard, pool.run(shard_job(config, store, shard, base=plan.base)))


def shard_job(
    config: TADConfig, store: Store, shard: ShardSpec, force: bool = False, base: str = ""
) -> ShardJob:
    """What a worker process is asked to roll out a shard; ``base`` is that of the plan."""
    return ShardJob(config, store, (shard.condition, shard.start, shard.stop), force, base)


def read_problems(collection: ArtifactRef) -> dict[str, Problem]:
    """The problems of a collection by id."""
    return {problem.id: problem for problem in read_problem_lines(collection.local("problems.jsonl"))}


def iter_trajectories(collection: ArtifactRef, condition: Condition | None = None) -> Iterator[Trajectory]:
    """All trajectories in shard order, of one condition or of both."""
    from tad_core.trajectory.shards import read_trajectories

    for shard in collection.manifest.info["shards"]:
        if condition in (None, shard["condition"]):
            yield from read_trajectories(collection.local(f"{shard['name']}.parquet"))

"""The room that a run takes on the disk it writes, asked before any work."""

from __future__ import annotations

from collections.abc import Sequence

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.hub import local_folder
from tad_core.stages import distill as distill_stage
from tad_core.stages.collection_plan import STAGE as COLLECT
from tad_core.stages.collection_plan import CollectionPlan, ShardSpec, plan_collection
from tad_core.stages.pipeline import Stage, trained_models, wants
from tad_core.stages.rounds import rounds
from tad_core.stages.status import Look, look_at_training
from tad_core.weights import weight_files

_LEAST = 64 << 20
#: An adapter of rank r on a matrix of width d is 2r/d of it; this covers rank 128 at width 4096 and more.
_ADAPTER = 0.1
#: Two checkpoints of an adapter, each with both moments of the optimizer.
_COPIES = 6


def check_room(config: TADConfig, store: Store, plan: CollectionPlan, until: Stage) -> None:
    """Fail before any work if the store cannot be written, or has too little room for what is not in it yet.

    What of the run is there already is looked for only where there is no room for all of it.

    Raises:
        ArtifactError: naming the store or ``TAD_CACHE``, what is wrong and the remedy.
    """
    store.check_writable(_LEAST)
    need = _needed_bytes(config, plan, until)
    if store.free_bytes() < need:
        need = max(_LEAST, need - _there_bytes(config, store, until))
    store.check_writable(need)


def _needed_bytes(config: TADConfig, plan: CollectionPlan, until: Stage) -> int:
    """All that the run may take: trajectories, of each adapter its checkpoints, of each round its weights and more."""
    trajectories = _trajectories_bytes(config, plan.shards)
    if not wants(until, "distill"):
        return _LEAST + trajectories
    # A round rolls out what the run does, and at most as many without the reference.
    more = len(rounds(config)) * (2 * trajectories + _weights_bytes(config))
    return _LEAST + trajectories + more + len(trained_models(config)) * _training_bytes(config)


def _there_bytes(config: TADConfig, store: Store, until: Stage) -> int:
    """What of that is there, by the same count; of a training that is not finished what its checkpoints take."""
    there = 0
    for part in look_at_training(config, Look(store)):
        made = store.manifests(COLLECT, part.collected.fingerprint)
        shards = [s for s in plan_collection(part.config, store).shards if f"{s.name}.json" in made]
        there += _trajectories_bytes(part.config, shards)
        if not wants(until, "distill"):
            break
        there += _weights_bytes(config) * (part.merged is not None)
        there += sum(_trained_bytes(config, store, adapter) for adapter in part.adapters.values())
    return there


def _trajectories_bytes(config: TADConfig, shards: Sequence[ShardSpec]) -> int:
    samples = sum(shard.stop - shard.start for shard in shards) * config.rollout.samples
    return samples * (12 * config.rollout.response_length + 8192)


def _trained_bytes(config: TADConfig, store: Store, adapter: ArtifactRef) -> int:
    if isinstance(adapter, ArtifactRef):
        return _training_bytes(config)
    work = store.scratch_there(distill_stage.STAGE, adapter.fingerprint)
    files = [] if work is None else [file for file in work.rglob("*") if file.is_file()]
    return min(_training_bytes(config), sum(file.stat().st_size for file in files))


def _training_bytes(config: TADConfig) -> int:
    return int(_ADAPTER * _weights_bytes(config)) * _COPIES


def _weights_bytes(config: TADConfig) -> int:
    return sum(file.stat().st_size for file in weight_files(local_folder(config.model)))

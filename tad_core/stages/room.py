"""The room that a run takes on the disk it writes: asked before any work, and told by a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tad_core.artifacts import ArtifactRef, Store
from tad_core.checkpoint import check_model
from tad_core.config import ModelConfig, TADConfig, variants
from tad_core.errors import ModelError
from tad_core.shapes import Shape, shape_of
from tad_core.stages import distill as distill_stage
from tad_core.stages.collection_plan import STAGE as COLLECT
from tad_core.stages.collection_plan import CollectionPlan, plan_collection
from tad_core.stages.pipeline import Stage, trained_models, wants
from tad_core.stages.rounds import learns_from_plain, rounds
from tad_core.stages.status import Look, look_at_training
from tad_core.stages.variants import passes

_LEAST = 64 << 20
#: Two checkpoints of an adapter in training, each with both moments of its optimizer.
_KEPT = 2 * 3
_FLOAT32 = 4


@dataclass(frozen=True)
class There:
    """What of a run its store has already.

    Attributes:
        samples: rollouts in finished shards, those of rounds among them.
        merged: rounds whose weights are there.
        adapters: models that are trained.
        saved: bytes of the checkpoints of each that is not.
    """

    samples: int = 0
    merged: int = 0
    adapters: frozenset[str] = frozenset()
    saved: Mapping[str, int] = field(default_factory=dict)


_NOTHING = There()


def check_room(config: TADConfig, store: Store, plan: CollectionPlan, until: Stage) -> None:
    """Fail before any work if the store cannot be written, or has too little room for what is not in it yet.

    What of the run is there already is looked for only where there is no room for all of it. What is made anew takes
    the place of what is there.

    Raises:
        ArtifactError: naming the store or ``TAD_CACHE``, what is wrong and the remedy.
        ConfigError: it is in the memory of a process.
    """
    store.check_shared()
    store.check_writable(_LEAST)
    shape, sizes = _shape_of(config.model), (len(plan.ordered), len(plan.compared))
    need = needed_bytes(config, shape, *sizes, until)
    if store.free_bytes() < need:
        need = needed_bytes(config, shape, *sizes, until, what_is_there(config, store, until))
    store.check_writable(need)


def _shape_of(model: ModelConfig) -> Shape | None:
    """None for a family whose configuration says in other words how large it is."""
    try:
        return shape_of(model)[0]
    except ModelError:
        check_model(model)  # what is wrong with it ends the run
        return None


def needed_bytes(
    config: TADConfig,
    shape: Shape | None,
    problems: int,
    compared: int,
    until: Stage = "report",
    there: There = _NOTHING,
) -> int:
    """What a run takes: its trajectories, of each model its adapter, of each round its weights and trajectories.

    And the checkpoints of one pass of training, the largest: those of a pass that is over are gone.

    Args:
        config: the run.
        shape: of the model; without it adapters and weights are not counted.
        problems: of the collection.
        compared: those also rolled out without the reference.
        until: the last stage that is wanted.
        there: what needs no room any more.
    """
    per_sample = 12 * config.rollout.response_length + 8192
    samples = (problems + compared) * config.rollout.samples
    if not wants(until, "distill"):
        return _LEAST + per_sample * max(0, samples - there.samples)
    own = rounds(config)
    for each in own:
        plain = problems if learns_from_plain(config, each) else compared
        samples += (problems + plain) * config.rollout.samples
    if shape is None:
        return _LEAST + per_sample * max(0, samples - there.samples)
    weights = (4 if config.model.dtype == "float32" else 2) * shape.parameters
    more = per_sample * max(0, samples - there.samples) + weights * max(0, len(own) - there.merged)

    table = variants(config)
    todo = [name for name in trained_models(config) if name not in there.adapters]
    adapters = {name: _FLOAT32 * shape.lora(table[name].distill.lora) for name in todo}
    checkpoints = [
        sum(max(0, _KEPT * adapters[name] - there.saved.get(name, 0)) for name in group)
        for group in passes(config, todo)
    ]
    return _LEAST + more + sum(adapters.values()) + max(checkpoints, default=0)


def what_is_there(config: TADConfig, store: Store, until: Stage = "report") -> There:
    """What of a run its store has; of a training that is not finished its checkpoints."""
    samples = merged = 0
    adapters: dict[str, ArtifactRef] = {}
    for part in look_at_training(config, Look(store)):
        made = store.manifests(COLLECT, part.collected.fingerprint)
        shards = [s for s in plan_collection(part.config, store).shards if f"{s.name}.json" in made]
        samples += sum(shard.stop - shard.start for shard in shards) * part.config.rollout.samples
        if not wants(until, "distill"):
            break
        merged += part.merged is not None
        adapters |= part.adapters
    trained = {name for name, adapter in adapters.items() if isinstance(adapter, ArtifactRef)}
    saved = {name: _saved_bytes(store, adapters[name]) for name in adapters.keys() - trained}
    return There(samples, merged, frozenset(trained), saved)


def _saved_bytes(store: Store, adapter: ArtifactRef) -> int:
    work = store.scratch_there(distill_stage.STAGE, adapter.fingerprint)
    files = [] if work is None else [file for file in work.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)

"""What a collection will do, settled before anything runs: its problems, its identity, its shards.

A shard is a fixed slice of the problems, and its name is that slice. Shards that are in the store already keep
their bounds, whatever ``rollout.shard_size`` is today: only what they leave open is cut anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from tad_core.artifacts import ArtifactRef, Store, fingerprint, read_manifest
from tad_core.artifacts.components import component_fields
from tad_core.artifacts.stamps import side_by_side
from tad_core.config import Condition, TADConfig, parse_config
from tad_core.data.problem import Problem
from tad_core.errors import DataError
from tad_core.stages.cutting import Bounds, bounds_of, cut, cut_around, piece_name
from tad_core.trajectory.schema import SCHEMA_VERSION

STAGE = "collect"
STAGE_VERSION = 1


@dataclass(frozen=True)
class ShardSpec:
    """A fixed slice of the problems of one condition."""

    index: int
    condition: Condition
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return piece_name(self.condition, (self.start, self.stop))


@dataclass(frozen=True)
class CollectionPlan:
    """Everything a collection will do.

    Attributes:
        fingerprint: of the collection.
        base: fingerprint of the checkpoint that rolls out.
        ordered: every problem.
        compared: those that are rolled out without the reference, too.
        shards: the slices, in order; the privileged ones first.
        problems: every problem by its id.
        shard_size: what is not in the store yet is cut at multiples of this.
        left_out: per source, the rows that are not among the problems, by reason.
        left_out_examples: where the first of them are.
    """

    fingerprint: str
    ordered: list[Problem]
    compared: list[Problem]
    shards: list[ShardSpec]
    problems: dict[str, Problem] = field(default_factory=dict)
    shard_size: int = 1
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    left_out_examples: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    base: str = ""

    @property
    def stage(self) -> str:
        """Whose artifact it is."""
        return STAGE

    @property
    def pieces(self) -> Sequence[ShardSpec]:
        """What is claimed and made one by one."""
        return self.shards

    def find(self, piece: ShardSpec, store: Store) -> ArtifactRef | None:
        """See ``find_shard``."""
        return find_shard(self, piece, store)

    def slice(self, shard: ShardSpec) -> list[Problem]:
        """The problems of one shard."""
        return self.pool(shard.condition)[shard.start : shard.stop]

    def pool(self, condition: Condition) -> list[Problem]:
        """All problems of one condition."""
        return self.ordered if condition == "privileged" else self.compared


def plan_collection(config: TADConfig, store: Store | None = None) -> CollectionPlan:
    """Load the problems, leave out what does not fit the model, cut the shards; weights are hashed, never loaded.

    Worked out once a process, as long as the settings and the files of data and model stay the same.

    Args:
        config: the run.
        store: where shards may already be; without it they are cut by ``rollout.shard_size`` alone.

    Raises:
        ConfigError, DataError, ModelError: whatever is wrong with the input, before any work.
    """
    from tad_core.base import check_base
    from tad_core.checkpoint import model_fingerprint
    from tad_core.data.sources import source_stamps

    check_base(config.model)
    parts = config.model_dump(mode="json")
    text = json.dumps(parts, sort_keys=True)
    plan = _plan(text, model_fingerprint(config.model), json.dumps(source_stamps(config.data)))
    return plan if store is None else fit_to_store(plan, store)


@lru_cache(maxsize=4)
def _plan(text: str, model: str, _: str) -> CollectionPlan:
    from tad_core.data.lengths import LengthCheck
    from tad_core.data.sources import load_all

    config = parse_config(json.loads(text))
    loaded = load_all(config.data, LengthCheck(config))
    problems, compare = loaded.problems, config.rollout.compare_plain
    if compare > len(problems):
        raise DataError(
            f"rollout.compare_plain: {compare} is more than the {len(problems)} problems; lower it"
        )
    fields = {
        "schema": SCHEMA_VERSION,
        "rollout": config.rollout.identity(),
        "dtype": config.model.dtype,
        "model": model,
        **component_fields(STAGE),
        # JSON first: a problem's meta may hold anything a source likes, tuples too.
        "problems": fingerprint(
            "problems", 1, {"all": json.loads(json.dumps([p.as_dict() for p in problems]))}, []
        ),
    }
    plan = CollectionPlan(
        fingerprint=fingerprint(STAGE, STAGE_VERSION, fields, []),
        ordered=problems,
        compared=[problems[i * len(problems) // max(1, compare)] for i in range(compare)],
        shards=[],
        base=model,
        problems={p.id: p for p in problems},
        shard_size=config.rollout.shard_size,
        left_out=loaded.left_out,
        left_out_examples=loaded.examples,
    )
    return _with_cuts(plan, {c: cut(len(plan.pool(c)), plan.shard_size) for c in _CONDITIONS})


def find_shard(plan: CollectionPlan, shard: ShardSpec, store: Store) -> ArtifactRef | None:
    """The finished, verified shard, or None."""
    ref = store.find(STAGE, plan.fingerprint, manifest_name=f"{shard.name}.json")
    if ref is None or shard.condition == "privileged":
        return ref
    # The plain problems are spread over all, so which they are depends on how many are compared.
    return ref if ref.manifest.info.get("compared") == len(plan.compared) else None


def find_shards(
    plan: CollectionPlan, shards: Iterable[ShardSpec], store: Store
) -> dict[ShardSpec, ArtifactRef]:
    """Those of many shards that are finished and verified, in order; looked at side by side."""
    todo = list(shards)
    seen = store.at_a_glance(STAGE, plan.fingerprint, len(todo))
    found = side_by_side(lambda shard: find_shard(plan, shard, seen), todo)
    return {shard: ref for shard, ref in zip(todo, found, strict=True) if ref is not None}


def find_collection(plan: CollectionPlan, store: Store) -> ArtifactRef | None:
    """The finished, verified collection with exactly the plan's shards, or None."""
    ref = store.find(STAGE, plan.fingerprint)
    if ref is None or [s["name"] for s in ref.manifest.info["shards"]] != [s.name for s in plan.shards]:
        return None
    return ref


# --- shards that are there already ------------------------------------------------------------------

_CONDITIONS: tuple[Condition, ...] = ("privileged", "plain")


def fit_to_store(plan: CollectionPlan, store: Store) -> CollectionPlan:
    """The same collection, cut so that the shards in the store are used.

    A finished collection keeps its cut, also where a file of it is damaged; else see ``cutting.cut_around``.
    """
    names = store.manifests(STAGE, plan.fingerprint)
    closed = _closed_cuts(plan, store)
    cuts: dict[Condition, list[Bounds]] = {}
    for condition in _CONDITIONS:
        count = len(plan.pool(condition))
        if condition in closed:
            cuts[condition] = closed[condition]
            continue

        def whole(some: Sequence[Bounds], condition: Condition = condition) -> list[Bounds]:
            found = find_shards(plan, [ShardSpec(0, condition, *bounds) for bounds in some], store)
            return [(shard.start, shard.stop) for shard in found]

        cuts[condition] = cut_around(bounds_of(names, condition), count, plan.shard_size, whole)
    return _with_cuts(plan, cuts)


def _with_cuts(plan: CollectionPlan, cuts: dict[Condition, list[Bounds]]) -> CollectionPlan:
    pieces = [(condition, *bounds) for condition in _CONDITIONS for bounds in cuts[condition]]
    return replace(plan, shards=[ShardSpec(i, *piece) for i, piece in enumerate(pieces)])


def _closed_cuts(plan: CollectionPlan, store: Store) -> dict[Condition, list[Bounds]]:
    """The cut of the finished collection, for each condition of which it holds all that is wanted now."""
    manifest = read_manifest(store.url(STAGE, plan.fingerprint))
    if manifest is None or manifest.fingerprint != plan.fingerprint:
        return {}
    names = [f"{shard['name']}.json" for shard in manifest.info.get("shards", [])]
    found: dict[Condition, list[Bounds]] = {}
    for condition in _CONDITIONS:
        found_there = bounds_of(names, condition)
        ends = [0, *(stop for _, stop in found_there)]
        if [start for start, _ in found_there] == ends[:-1] and ends[-1] == len(plan.pool(condition)):
            found[condition] = found_there
    return found

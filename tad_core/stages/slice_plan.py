"""What an evaluation decodes, settled before anything runs: one folder of slices for a model.

A slice is a fixed range of the prompts of one task, longest first, decoded one way. All slices of a model lie in one
folder, whichever evaluation asked for them; the name of one holds a hash of its decoding and of the prompts. So
another threshold, another task or other settings of the report decode nothing that is there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.stamps import side_by_side
from tad_core.checkpoint import model_fingerprint
from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.decoding import DecodeSpec, plan_batches
from tad_core.decoding.spec import REFRESHED
from tad_core.evaluation.prompting import encode, messages_of
from tad_core.stages import slice_folder
from tad_core.stages.cutting import Bounds, bounds_of, cut_around, piece_name
from tad_core.stages.slice_folder import STAGE


@dataclass(frozen=True)
class SliceSpec:
    """A range of one task's prompts, decoded one way; ``kind`` is the hash of way and prompts."""

    task: str
    spec: DecodeSpec
    kind: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return piece_name(self.kind, (self.start, self.stop))


class TaskPrompts:
    """The problems of one task and what the model is sent for them."""

    def __init__(self, problems: Sequence[Problem], tokenizer: Any) -> None:
        self.problems, self._tokenizer = problems, tokenizer
        self._encoding = threading.Lock()

    @cached_property
    def messages(self) -> list[Any]:
        """All of the problems that decides what is decoded, beside the model."""
        # JSON first: a problem's meta may hold anything a source likes, tuples too.
        return json.loads(json.dumps([messages_of(p) for p in self.problems]))  # type: ignore[no-any-return]

    @cached_property
    def _encoded(self) -> list[list[int]]:
        return [encode(self._tokenizer, p) for p in self.problems]

    @cached_property
    def _order(self) -> list[int]:
        (order,) = plan_batches([len(ids) for ids in self._encoded], len(self.problems))
        return order

    def of(self, piece: SliceSpec) -> tuple[list[int], list[list[int]]]:
        """Places of a slice's problems and their prompts' token ids; none is encoded before it is asked for."""
        with self._encoding:  # several threads ask first at once, and a tokenizer is not made for that
            places = self._order[piece.start : piece.stop]
            return places, [self._encoded[i] for i in places]


@dataclass(frozen=True)
class SlicePlan:
    """Every slice that an evaluation of one model needs, way by way; see ``sharing.Plan``."""

    fingerprint: str
    pieces: list[SliceSpec]
    prompts: Mapping[str, TaskPrompts]
    inputs: tuple[ArtifactRef, ...]
    base: str
    """Fingerprint of the checkpoint without the adapter."""

    @property
    def stage(self) -> str:
        """Whose artifact it is."""
        return STAGE

    @property
    def distinct(self) -> dict[str, SliceSpec]:
        """The slices by name: tasks with the same prompts, which are judged otherwise, have theirs in common."""
        return {piece.name: piece for piece in self.pieces}

    @property
    def samples(self) -> int:
        """Prompts of all slices."""
        return sum(piece.stop - piece.start for piece in self.distinct.values())

    def find(self, piece: SliceSpec, store: Store) -> ArtifactRef | None:
        """The finished, verified slice, or None."""
        return store.find(STAGE, self.fingerprint, self.inputs, f"{piece.name}.json")

    def of(self, spec: DecodeSpec) -> Iterator[SliceSpec]:
        """The slices of one way."""
        return (piece for piece in self.pieces if piece.spec == spec)


def plan_slices(
    config: TADConfig,
    adapter_ref: ArtifactRef | None,
    tasks: Mapping[str, Sequence[Problem]],
    specs: Sequence[DecodeSpec],
    tokenizer: Any,
    store: Store,
) -> SlicePlan:
    """The slices of one model, cut so that those in the store are used.

    Args:
        config: the run.
        adapter_ref: the distilled adapter; None for the base model.
        tasks: the problems of each.
        specs: the ways, in the order in which they are decoded.
        tokenizer: the model's.
        store: where slices may already be.
    """
    inputs, base = () if adapter_ref is None else (adapter_ref,), model_fingerprint(config.model)
    mark = slice_folder.key(config, adapter_ref)
    every = {name: TaskPrompts(found, tokenizer) for name, found in tasks.items()}
    plan = SlicePlan(mark, [], every, inputs, base)
    there = store.manifests(STAGE, mark)
    for spec in specs:
        for task, prompts in plan.prompts.items():
            kind = _kind(spec, prompts)

            def whole(
                some: Sequence[Bounds], task: str = task, spec: DecodeSpec = spec, kind: str = kind
            ) -> list[Bounds]:
                slices = [SliceSpec(task, spec, kind, *bounds) for bounds in some]
                seen = store.at_a_glance(STAGE, mark, len(slices))
                found = side_by_side(partial(plan.find, store=seen), slices)
                return [bounds for bounds, ref in zip(some, found, strict=True) if ref is not None]

            bounds = cut_around(
                bounds_of(there, kind), len(prompts.problems), config.evaluate.slice_size, whole
            )
            plan.pieces.extend(SliceSpec(task, spec, kind, *each) for each in bounds)
    return plan


def spec_fields(spec: DecodeSpec) -> dict[str, Any]:
    """What of a way decides its result, and nothing that came later where it is as it was before.

    When a cache would be refreshed is no part of a way that has none; what its method does not read is None, and none
    either.
    """
    fields = {name: value for name, value in asdict(spec).items() if value is not None}
    if spec.cache not in REFRESHED:
        fields = {name: value for name, value in fields.items() if not name.startswith("refresh_")}
    if spec.refresh_settle == 1:
        fields.pop("refresh_settle", None)
    if spec.attention == "full":
        del fields["attention"]
    if spec.method != "pipeline":
        del fields["decoded_threshold"]
    return fields


def _kind(spec: DecodeSpec, prompts: TaskPrompts) -> str:
    fields = {"spec": spec_fields(spec), "messages": prompts.messages}
    # With a cache, slices without a count of full forwards are others: they stay where they are and are not read.
    return fingerprint("slice", 1 if spec.cache == "none" else 2, fields, [])

"""Decode: the slices of one model's evaluation, each an atomic, verified piece that any evaluation may use.

Layout: ``decode/<model>/<way and prompts>-00000-00064.<content>.parquet`` with a manifest of its own; nothing closes
the folder. ``slice_plan`` says what the slices are; ``evaluate`` judges them and puts the results of a model together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.evaluation.slices import read_slice, write_slice
from tad_core.evaluation.sweep import Decodings, how
from tad_core.progress import OnProgress, Progress, silent
from tad_core.stages.sharing import Shares
from tad_core.stages.slice_plan import STAGE, STAGE_VERSION, SlicePlan, SliceSpec, spec_fields

#: Prompts of a slice, and how: the answers in the order of the prompts.
Decode = Callable[[Sequence[Sequence[int]], DecodeSpec, OnProgress], list[Decoded]]


def decode_slices(
    config: TADConfig,
    model_name: str,
    plan: SlicePlan,
    store: Store,
    decode: Decode,
    on_progress: OnProgress = silent,
    force: bool = False,
) -> dict[str, ArtifactRef]:
    """Every slice of a plan by its name, missing ones decoded; others that decode the same take their part.

    Args:
        config: the run.
        model_name: for people.
        plan: from ``plan_slices``.
        store: where the slices live.
        decode: decodes the prompts of one.
        on_progress: told the answers there are.
        force: decode even what is there.
    """
    told = _Told(model_name, plan, on_progress)
    with Shares(plan, store, config.rollout.lease_s, force) as shares:
        for piece in shares.todo():
            if piece is None:
                shares.wait()
                continue
            places, prompts = plan.prompts[piece.task].of(piece)
            rows = decode(prompts, piece.spec, told.listener(piece))
            shares.ended(piece, write(config, plan, piece, store, places, rows, force))
            told.ended(piece)
        return shares.refs


def write(
    config: TADConfig,
    plan: SlicePlan,
    piece: SliceSpec,
    store: Store,
    places: Sequence[int],
    rows: Sequence[Decoded],
    force: bool,
) -> ArtifactRef:
    """Publish one slice, unless another host was quicker."""
    with store.writer(
        STAGE,
        STAGE_VERSION,
        plan.fingerprint,
        config.model_dump(mode="json"),
        plan.inputs,
        f"{piece.name}.json",
    ) as writer:
        write_slice(writer.path(f"{piece.name}.parquet", rows=len(rows), by_content=True), places, rows)
        info = {"task": piece.task, "spec": spec_fields(piece.spec)}
        return writer.commit(info, unless=None if force else lambda: plan.find(piece, store))


def read_way(plan: SlicePlan, refs: Mapping[str, ArtifactRef], spec: DecodeSpec) -> Decodings:
    """Everything that was decoded one way."""
    found: dict[tuple[str, str], Decoded] = {}
    for piece in plan.of(spec):
        rows = read_slice(refs[piece.name].local(f"{piece.name}.parquet"))
        problems = plan.prompts[piece.task].problems
        found |= {(piece.task, problems[place].id): one for place, one in rows.items()}
    return found


class _Told:
    """Progress of slices as progress of the whole evaluation."""

    def __init__(self, model_name: str, plan: SlicePlan, on_progress: OnProgress) -> None:
        self._model, self._total, self._on_progress = model_name, plan.samples, on_progress
        self._done: dict[str, int] = {}

    def listener(self, piece: SliceSpec) -> OnProgress:
        """Of one slice."""
        return lambda progress: self._tell(piece, progress.done)

    def ended(self, piece: SliceSpec) -> None:
        """A slice is there."""
        self._tell(piece, piece.stop - piece.start)

    def _tell(self, piece: SliceSpec, done: int) -> None:
        self._done[piece.name] = done
        figures: dict[str, Any] = {"model": self._model, "decoding": how(piece.spec)}
        self._on_progress(Progress("evaluate", sum(self._done.values()), self._total, "answers", figures))

"""How far the decoding of an evaluation that is not finished has come, by a look at its slices and who has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.stamps import side_by_side
from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.stages import slice_folder


@dataclass(frozen=True)
class SlicesSeen:
    """What there is of the slices of one evaluation.

    Attributes:
        done: those that verify.
        damaged: those that are there and do not.
        total: all that it needs.
        held: who has how many in hand, by host and process.
    """

    done: int
    damaged: int
    total: int
    held: Mapping[str, int]

    def told(self) -> str:
        """In words."""
        parts = [f"{self.done:,} of {self.total:,} slices are there"]
        parts += [f"{self.damaged:,} damaged"] if self.damaged else []
        parts += [f"{n:,} being decoded by {holder}" for holder, n in self.held.items()]
        return ", ".join(parts)


def slices_seen(
    config: TADConfig,
    name: str,
    adapter: ArtifactRef | None,
    tasks: Mapping[str, Sequence[Problem]],
    store: Store,
) -> SlicesSeen | None:
    """What there is of one model's slices; None if nothing is and nobody is at it.

    Args:
        config: the run or the round that the model is of.
        name: the model.
        adapter: its adapter; None for the base.
        tasks: the problems of each.
        store: where the slices would be.
    """
    mark = slice_folder.key(config, adapter)
    there = store.manifests(slice_folder.STAGE, mark)
    claims = store.claims(slice_folder.STAGE, mark)
    if not there and not claims:  # what follows takes seconds of imports
        return None
    from tad_core.evaluation.decoders import ways
    from tad_core.stages.slice_plan import plan_slices

    # Which slices there are is a matter of the prompts' texts: no tokenizer is asked for.
    plan = plan_slices(config, adapter, tasks, ways(config, name), None, store)
    pieces = plan.distinct.values()
    written = [piece for piece in pieces if f"{piece.name}.json" in there]
    done = sum(ref is not None for ref in side_by_side(lambda piece: plan.find(piece, store), written))
    held: dict[str, int] = {}
    for piece in pieces:
        if (claim := claims.get(piece.name)) is not None:
            held[claim.holder] = held.get(claim.holder, 0) + 1
    if not written and not held:
        return None
    return SlicesSeen(done, len(written) - done, len(pieces), held)

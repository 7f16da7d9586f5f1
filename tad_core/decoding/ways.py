"""The ways in which the samples of a loop are decoded: for each, its policy and schedule and which slots are its own.

A way is a spec. Its tensors have a row for every slot; what it says of the slots of others is put aside here, so that
policies and schedules know of one spec alone, and a sample sees nothing of those that are decoded otherwise beside it.

Shapes: B slots, L positions of the longest response there is room for, M of the way's own, W columns of a slot, N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import accumulate

import torch
from torch import Tensor

from tad_core.decoding.block_causal import BlockCausalSchedule
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.schedule import Schedule
from tad_core.decoding.slots import Slots
from tad_core.decoding.spec import DecodeSpec
from tad_core.decoding.transfer import to_device
from tad_core.models.base import DiffusionLM


@dataclass(frozen=True)
class Plan:
    """What the next forward does.

    Attributes:
        open_BL: what may be revealed.
        compute_BW: what is computed.
        full_B: of which samples nothing comes from a cache.
    """

    open_BL: Tensor
    compute_BW: Tensor
    full_B: Tensor

    def __or__(self, other: Plan) -> Plan:
        """Of the slots of both."""
        return Plan(
            self.open_BL | other.open_BL, self.compute_BW | other.compute_BW, self.full_B | other.full_B
        )


class Way:
    """The slots of one spec."""

    def __init__(self, spec: DecodeSpec, model: DiffusionLM, slots: int, width: int) -> None:
        self.length = spec.response_length
        self.policy = POLICIES[spec.method](spec, slots, model.device)
        kind = Schedule if spec.attention == "full" else BlockCausalSchedule
        self._schedule: Schedule | BlockCausalSchedule = kind(
            spec, slots, width, model.packed_shift, model.device
        )
        self.members: set[int] = set()
        self._mine_B = torch.zeros(slots, dtype=torch.bool, device=model.device)
        self._full_B = torch.zeros_like(self._mine_B)

    def enter(self, slots: Slots, entered_B: Tensor) -> None:
        """New samples, of this way, took these slots."""
        self._mine_B = self._mine_B | entered_B
        self.policy.enter(entered_B)
        self._schedule.enter(entered_B)
        self.policy.advance(slots.masked_BL[:, : self.length], entered_B)

    def leave(self, where: Tensor) -> None:
        """These slots are empty, or another's."""
        self._mine_B[where] = False

    def advance(self, slots: Slots, running_B: Tensor) -> None:
        """A forward is over for those that go on."""
        self.policy.advance(slots.masked_BL[:, : self.length], running_B & self._mine_B)

    def plan(self, slots: Slots, running_B: Tensor) -> Plan:
        """The next forward of its own; False in the slots of others."""
        mine_B = running_B & self._mine_B
        masked_BM, revealed_BM = slots.masked_BL[:, : self.length], slots.revealed_BL[:, : self.length]
        open_BM = self.policy.open(masked_BM) & mine_B[:, None]
        compute_BW, self._full_B = self._schedule.computed(
            masked_BM, open_BM, revealed_BM, slots.prompt_B, slots.total_B * mine_B
        )
        return Plan(_padded(open_BM, slots.length), compute_BW, self._full_B & mine_B)

    def choose(self, slots: Slots, scores_BL: Tensor, open_BL: Tensor) -> Tensor:
        """Which of its open positions are revealed, ``[B, L]``."""
        open_BM = open_BL[:, : self.length] & self._mine_B[:, None]
        reveal_BM = self.policy.choose(scores_BL[:, : self.length], open_BM)
        self._schedule.ran(slots.masked_BL[:, : self.length], self._full_B, reveal_BM.sum(1))
        return _padded(reveal_BM, slots.length)


class Ways:
    """All that are in use; one that nobody uses any more is forgotten."""

    def __init__(self, model: DiffusionLM, slots: int, width: int) -> None:
        self._model, self._count, self._width = model, slots, width
        self._ways: dict[DecodeSpec, Way] = {}

    def enter(self, slots: Slots, taken: dict[DecodeSpec, list[int]]) -> None:
        """New samples took these slots, by their spec."""
        for spec, where in taken.items():
            way = self._ways.get(spec)
            if way is None:
                way = self._ways[spec] = Way(spec, self._model, self._count, self._width)
            way.members.update(where)
            entered_B = torch.zeros_like(slots.masked_BL[:, 0])
            entered_B[to_device(where, slots.device)] = True
            way.enter(slots, entered_B)

    def leave(self, slots: Slots, where: list[int]) -> None:
        """The samples of these slots are gone."""
        gone = set(where)
        for spec, way in list(self._ways.items()):
            if mine := way.members & gone:
                way.members -= mine
                if way.members:
                    way.leave(to_device(sorted(mine), slots.device))
                else:
                    del self._ways[spec]

    def advance(self, slots: Slots, running_B: Tensor) -> None:
        """A forward is over for those that go on."""
        for way in self._ways.values():
            way.advance(slots, running_B)

    def plan(self, slots: Slots, running_B: Tensor) -> Plan:
        """The next forward of all that run."""
        parts = [way.plan(slots, running_B) for way in self._ways.values()]
        if len(parts) == 1:
            return parts[0]
        nothing = Plan(
            torch.zeros_like(slots.masked_BL),
            torch.zeros_like(slots.ids_BW, dtype=torch.bool),
            torch.zeros_like(running_B),
        )
        return reduce(Plan.__or__, parts, nothing)

    def rows(self, opened: list[int], hot: list[bool]) -> list[tuple[Way, bool, list[int] | None]]:
        """Which of the N rows, slot after slot, are read alike: their way, whether with noise, and the rows.

        Greedy rows are read without noise also beside others that have it: of a temperature of zero the kernel with
        noise makes the same token, but not the last bit of its score.

        Args:
            opened: rows of each slot.
            hot: which slots have a temperature.

        Returns:
            None for the rows where they are all.
        """
        first = [0, *accumulate(opened)]
        parts: list[tuple[Way, bool, list[int]]] = []
        for way in self._ways.values():
            for heated in (False, True):
                rows = [
                    n for b in sorted(way.members) if hot[b] is heated for n in range(first[b], first[b + 1])
                ]
                if rows:
                    parts.append((way, heated, rows))
        if len(parts) == 1:
            return [(*parts[0][:2], None)]
        return list(parts)

    def choose(self, slots: Slots, scores_BL: Tensor, plan: Plan) -> Tensor:
        """Which of the open positions are revealed, ``[B, L]``."""
        chosen = [way.choose(slots, scores_BL, plan.open_BL) for way in self._ways.values()]
        reveal_BL = chosen[0]
        for more_BL in chosen[1:]:
            reveal_BL = reveal_BL | more_BL
        return reveal_BL


def _padded(of_BM: Tensor, length: int) -> Tensor:
    missing = length - of_BM.shape[1]
    return torch.nn.functional.pad(of_BM, (0, missing)) if missing else of_BM

"""Where samples live while they are decoded: one row of every buffer each, taken again by the next when one leaves.

Shapes: B slots, L response positions of the longest, W columns of a slot (prompt, response, then nothing), N open
positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tad_core.decoding.noise import step_key
from tad_core.decoding.sampling import Noise
from tad_core.decoding.spec import Decoded, Job, Seen
from tad_core.decoding.transfer import to_device
from tad_core.models.base import DiffusionLM
from tad_core.models.bits import signed


class Slots:
    """The buffers of so many samples, on the model's device.

    Attributes:
        prompt_B: tokens of the prompt.
        total_B: of prompt and response; 0 while the slot is empty.
        ids_BW: the tokens.
        ids_C: the same in one row, and one more that belongs to nobody.
        masked_BL: which response positions are masked; none in an empty slot.
        revealed_BL: what the last forward revealed.
        step_B: forwards so far.
        lead_B: positions of each response that are revealed from the first on; see ``finished``.
        length: room for the longest response.
        holds: index of the sample in each slot, None while it is empty.
        jobs: the sample itself.
        totals: ``total_B``, on the host.
    """

    def __init__(self, model: DiffusionLM, slots: int, width: int, response_length: int) -> None:
        device = model.device
        self.length, self.width, self.device = response_length, width, device
        self._mask, self._eos = model.mask_token_id, model.eos_token_id

        def zeros(*shape: int, dtype: torch.dtype = torch.long) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.prompt_B, self.total_B, self.step_B = zeros(slots), zeros(slots), zeros(slots)
        self.ids_C = torch.full((slots * width + 1,), self._eos, device=device)
        self.ids_BW = self.ids_C[:-1].view(slots, width)
        self.masked_BL = zeros(slots, response_length, dtype=torch.bool)
        self.revealed_BL = torch.zeros_like(self.masked_BL)
        self._revealed_at_BL = zeros(slots, response_length, dtype=torch.int32)
        self._scores_BL = zeros(slots, response_length, dtype=torch.float64)
        self._response_L = torch.arange(response_length, device=device)
        self._length_B, self._stops_B = zeros(slots), zeros(slots, dtype=torch.bool)
        self.lead_B = zeros(slots)
        self.holds: list[int | None] = [None] * slots
        self.jobs: list[Job | None] = [None] * slots
        self.totals = [0] * slots
        self._steps = [0] * slots
        self._share_s = [0.0] * slots
        self._computed = [0] * slots
        self._full = [0] * slots

    @property
    def running(self) -> int:
        """Slots that hold a sample."""
        return sum(index is not None for index in self.holds)

    @property
    def free(self) -> list[int]:
        """Slots that do not."""
        return [b for b, index in enumerate(self.holds) if index is None]

    @property
    def hot(self) -> list[bool]:
        """Slots whose sample has a temperature."""
        return [job is not None and job.request.temperature > 0 for job in self.jobs]

    def enter(self, taken: Sequence[tuple[int, int, Job]]) -> None:
        """Put samples into empty slots: the slot, the sample's number, the sample."""
        rows, lengths = [], []
        for b, index, job in taken:
            length = job.spec.response_length
            ids = [*job.request.prompt_ids, *[self._mask] * length]
            self.holds[b], self.totals[b], self.jobs[b] = index, len(ids), job
            self._steps[b], self._share_s[b], self._computed[b], self._full[b] = 0, 0.0, 0, 0
            rows.append(ids + [self._eos] * (self.width - len(ids)))
            lengths.append([len(ids), length, job.spec.early_stop])
        where = to_device([b for b, _, _ in taken], self.device)
        totals, lengths_of, stops = to_device(lengths, self.device).unbind(1)
        self.ids_BW[where] = to_device(rows, self.device)
        self.total_B[where], self.prompt_B[where] = totals, totals - lengths_of
        self._length_B[where], self._stops_B[where] = lengths_of, stops.bool()
        self.masked_BL[where] = self._response_L < lengths_of[:, None]
        self.revealed_BL[where] = False
        self.step_B[where], self._revealed_at_BL[where], self._scores_BL[where] = 0, 0, 0.0
        self.lead_B[where] = 0

    def columns(self) -> Tensor:
        """Column of every response position, ``[B, L]``; some column beyond the end of a response."""
        return (self.prompt_B[:, None] + self._response_L).clamp(max=self.width - 1)

    def noise(self, slot_N: Tensor, position_N: Tensor) -> Noise | None:
        """Of the coming forward for these rows; None where no sample has a temperature."""
        heat = [job.request.temperature if job else 0.0 for job in self.jobs]
        if not any(self.hot):
            return None
        keys = [
            step_key(job.seed, *job.request.key, step + 1) if job else (0, 0)
            for job, step in zip(self.jobs, self._steps, strict=True)
        ]
        half_2B = to_device([[signed(k[i]) for k in keys] for i in (0, 1)], self.device, torch.int32)
        low_N, high_N = half_2B[:, slot_N]
        heat_B = to_device(heat, self.device, torch.float64)
        return Noise(low_N, high_N, position_N.int(), heat_B[slot_N])

    def reveal(
        self, slot_N: Tensor, position_N: Tensor, token_N: Tensor, scores_BL: Tensor, reveal_BL: Tensor
    ) -> None:
        """Write the chosen ones of these tokens."""
        self.step_B += self.total_B > 0
        take_N = reveal_BL[slot_N, position_N]
        column_N = self.prompt_B[slot_N] + position_N
        self.ids_BW[slot_N, column_N] = torch.where(take_N, token_N, self.ids_BW[slot_N, column_N])
        self.revealed_BL = reveal_BL
        self._revealed_at_BL += (reveal_BL * self.step_B[:, None]).to(torch.int32)
        self._scores_BL = torch.where(reveal_BL, scores_BL, self._scores_BL)
        self.masked_BL = self.masked_BL & ~reveal_BL

    def finished(self) -> Tensor:
        """Which samples need no further forward, ``[B]``; with early stop also those whose end is reached."""
        complete_B = ~self.masked_BL.any(1)
        ids_BL = self.ids_BW.gather(1, self.columns())
        eos_BL = (ids_BL == self._eos) & ~self.masked_BL & (self._response_L < self._length_B[:, None])
        self.lead_B = torch.where(complete_B, self._length_B, self.masked_BL.int().argmax(1))
        first_eos_B = torch.where(eos_BL.any(1), eos_BL.int().argmax(1), self.length)
        complete_B = complete_B | (self._stops_B & (first_eos_B < self.lead_B))
        return complete_B & (self.total_B > 0)

    def seen(self, slots: Sequence[int], leads: Sequence[int]) -> dict[int, Seen]:
        """How far the samples of these slots have come; the device is waited for."""
        where = to_device(list(slots), self.device)
        ids_NL = self.ids_BW[where].gather(1, self.columns()[where])
        out: dict[int, Seen] = {}
        for b, ids in zip(slots, ids_NL.tolist(), strict=True):
            index, job = self.holds[b], self.jobs[b]
            assert index is not None and job is not None
            out[index] = Seen(ids[: job.spec.response_length], leads[b], self._steps[b])
        return out

    def took(self, seconds: float, computed: Sequence[int], full: Sequence[int]) -> None:
        """A forward of all samples is over: the tokens computed of each slot, and 1 where none came from a cache."""
        share_s = seconds / self.running
        for b, index in enumerate(self.holds):
            if index is not None:
                self._steps[b] += 1
                self._share_s[b] += share_s
                self._computed[b] += computed[b]
                self._full[b] += full[b]

    def leave(self, slots: Sequence[int]) -> dict[int, Decoded]:
        """Take finished samples out: by the index of their request."""
        where = to_device(list(slots), self.device)
        masked_NL = self.masked_BL[where]
        ids_NL = self.ids_BW[where].gather(1, self.columns()[where])
        columns = (
            torch.where(masked_NL, self._eos, ids_NL), self._revealed_at_BL[where], masked_NL.any(1),
            self._scores_BL[where],
        )  # fmt: skip
        out: dict[int, Decoded] = {}
        rows = zip(slots, *(c.tolist() for c in columns), strict=True)
        for b, tokens, revealed_at, filled, scores in rows:
            index, job = self.holds[b], self.jobs[b]
            assert index is not None and job is not None
            own = slice(job.spec.response_length)
            out[index] = Decoded(
                tokens[own],
                self._steps[b],
                revealed_at[own],
                filled,
                self._share_s[b],
                scores[own],
                self._computed[b],
                self._full[b],
            )
        self.empty(slots)
        return out

    def empty(self, slots: Sequence[int]) -> None:
        """Nobody is in these slots any more."""
        for b in slots:
            self.holds[b], self.jobs[b], self.totals[b] = None, None, 0
        where = to_device(list(slots), self.device)
        self.total_B[where] = 0
        self.masked_BL[where] = False
        self.revealed_BL[where] = False

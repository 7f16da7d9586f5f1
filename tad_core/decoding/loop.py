"""The reveal loop over the slots of a packer: samples join before any forward and leave after any.

A forward computes hidden rows of the open positions of every slot (``schedule``: of what is computed;
``models/packed``: how), each row gets a token and a score (``sampling``), the method of each sample chooses what to
reveal (``policies``); finished samples leave and the next take their slots. What a sample decodes to depends on itself
alone, whoever is beside it and however those are decoded.

Shapes: B slots, L response positions, W columns of a slot, T computed tokens, N open positions.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import nullcontext

import torch
from torch import Tensor

from tad_core.decoding.packing import Packer
from tad_core.decoding.sampling import Noise, tokens_and_scores
from tad_core.decoding.slots import Slots
from tad_core.decoding.spec import Decoded, DecodeSpec, Job, Seen
from tad_core.decoding.transfer import to_device, to_host
from tad_core.decoding.ways import Plan, Ways
from tad_core.errors import LogitsError
from tad_core.models.base import DiffusionLM

#: Tokens of the samples that enter at one forward: their first one computes all of them. What enters together is
#: refreshed together, so this also spreads the refreshes of a cache.
ENTERING_TOKENS = 1 << 15


class Loop:
    """Decodes what is given to it, by numbers that the caller chooses; call it under ``inference_mode``."""

    def __init__(self, model: DiffusionLM, packer: Packer, length: int) -> None:
        """Nobody waits yet.

        Args:
            model: in evaluation mode.
            packer: its slots and their columns.
            length: L, room for the longest response.
        """
        self._model, self._packer, self._device = model, packer, model.device
        self._waiting: deque[tuple[int, Job]] = deque()
        self._slots = Slots(model, packer.slots, packer.width, length)
        self._ways = Ways(model, packer.slots, packer.width)
        self._plan_is_old = False
        self._lead: list[int] = [0] * packer.slots
        self._nan_B = torch.zeros(packer.slots, dtype=torch.bool, device=self._device)
        self._stuck_B = torch.zeros_like(self._nan_B)

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._waiting) or self._slots.running > 0

    @property
    def load(self) -> int:
        """Samples that wait or are decoded."""
        return len(self._waiting) + self._slots.running

    @property
    def running(self) -> int:
        """Samples that are decoded."""
        return self._slots.running

    def add(self, index: int, job: Job) -> None:
        """Let a sample wait for a slot; ``index`` is what it is called, and nobody else here."""
        self._waiting.append((index, job))

    def drop(self, index: int) -> None:
        """Forget a sample, waiting or half decoded; its slot is free for the next. One that is gone is no error."""
        self._waiting = deque(one for one in self._waiting if one[0] != index)
        where = [b for b, held in enumerate(self._slots.holds) if held == index]
        if where:
            self._ways.leave(self._slots, where)
            self._slots.empty(where)
            self._plan_is_old = True

    def step(self) -> dict[int, Decoded]:
        """One forward of all that run, after free slots were filled; the samples that it finished."""
        # Streams, graphs and kernels are of the current device where nothing else is said.
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            return self._step()

    def _step(self) -> dict[int, Decoded]:
        if self._enter() or self._plan_is_old:
            self._plan()
        if not self._slots.running:
            return {}
        began = time.perf_counter()
        computed, full = self._computed, self._full
        self._forward()
        finished = self._plan(self._slots.finished())
        self._slots.took(time.perf_counter() - began, computed, full)
        over = [b for b, done in enumerate(finished) if done]
        if not over:
            return {}
        self._ways.leave(self._slots, over)
        return self._slots.leave(over)

    def seen(self, leads: dict[int, int]) -> dict[int, Seen]:
        """How far watched samples have come, those of which more is revealed from the first position on than was known.

        Args:
            leads: what was known of each, by its number; with -1 it is always told.
        """
        asked = [
            b for b, (index, job) in enumerate(zip(self._slots.holds, self._slots.jobs, strict=True))
            if index is not None and job and job.watched and self._lead[b] > leads.get(index, 0)
        ]  # fmt: skip
        return self._slots.seen(asked, self._lead) if asked else {}

    def _enter(self) -> bool:
        """Fill the free slots, as many as may enter at once; whether any did."""
        free, tokens = deque(self._slots.free), 0
        taken: list[tuple[int, int, Job]] = []
        while free and self._waiting and (not taken or tokens < ENTERING_TOKENS):
            index, job = self._waiting.popleft()
            tokens += len(job.request.prompt_ids) + job.spec.response_length
            taken.append((free.popleft(), index, job))
        if taken:
            self._slots.enter(taken)
            by_spec: dict[DecodeSpec, list[int]] = {}
            for b, _, job in taken:
                by_spec.setdefault(job.spec, []).append(b)
                self._lead[b] = 0
            self._ways.enter(self._slots, by_spec)
        return bool(taken)

    def _plan(self, finished_B: Tensor | None = None) -> list[bool]:
        """What the next forward computes and may reveal; of the last one, which samples it finished.

        What the host must know is read here, at the one moment of a step at which it waits for the device; the device
        goes on with the next forward meanwhile, where its size can be guessed.
        """
        slots = self._slots
        self._plan_is_old = False
        advance = finished_B is not None
        self._packer.forget()
        if finished_B is None:
            if not slots.running:
                return []
            finished_B = torch.zeros_like(slots.total_B, dtype=torch.bool)
        running_B = (slots.total_B > 0) & ~finished_B
        if advance:
            self._ways.advance(slots, running_B)
        self._next: Plan = self._ways.plan(slots, running_B)
        plan = self._next
        figures = torch.stack(
            (
                finished_B, plan.open_BL.sum(1), plan.compute_BW.sum(1), plan.full_B, slots.lead_B,
                self._nan_B, self._stuck_B,
            )
        )  # fmt: skip
        read = to_host(figures)
        if advance:
            self._packer.ahead(slots, plan.compute_BW)
        finished, self._opened, self._computed, self._full, self._lead, nan, stuck = read()
        self._check(nan, stuck)
        return [bool(over) for over in finished]

    def _check(self, nan: list[int], stuck: list[int]) -> None:
        """Raise for slots that the last forward brought no further: they would be decoded without an end."""
        for b, job in enumerate(self._slots.jobs):
            if job is None:
                continue
            if nan[b]:
                raise LogitsError.of_prompt(len(job.request.prompt_ids))
            assert not stuck[b], f"method {job.spec.method} revealed none of the positions that it had opened"

    def _forward(self) -> None:
        """Run the model and write the chosen tokens."""
        slots, plan = self._slots, self._next
        slot_N, position_N = torch.nonzero_static(plan.open_BL, size=sum(self._opened)).unbind(1)
        hidden_ND = self._packer.hidden(
            slots, plan.compute_BW, self._computed, slot_N, slots.prompt_B[slot_N] + position_N, self._opened
        )
        noise = slots.noise(slot_N, position_N)
        token_N, score_N = self._read(hidden_ND, noise)
        scores_BL = torch.zeros_like(plan.open_BL, dtype=torch.float64)
        scores_BL[slot_N, position_N] = score_N
        reveal_BL = self._ways.choose(slots, scores_BL, plan)
        self._nan_B = scores_BL.isnan().any(1)
        self._stuck_B = plan.open_BL.any(1) & ~reveal_BL.any(1)
        slots.reveal(slot_N, position_N, token_N, scores_BL, reveal_BL)

    def _read(self, hidden_ND: Tensor, noise: Noise | None) -> tuple[Tensor, Tensor]:
        """Token and score of every row, each by the policy of its sample."""
        token_N = torch.zeros(len(hidden_ND), dtype=torch.long, device=hidden_ND.device)
        score_N = torch.zeros(len(hidden_ND), dtype=torch.float64, device=hidden_ND.device)
        for way, hot, rows in self._ways.rows(self._opened, self._slots.hot):
            if rows is None:
                some = noise if hot else None
                return tokens_and_scores(self._model, way.policy, hidden_ND, some, self._packer.fused)
            row_M = to_device(rows, hidden_ND.device)
            some = noise.at(row_M) if noise and hot else None
            token_M, score_M = tokens_and_scores(
                self._model, way.policy, hidden_ND[row_M], some, self._packer.fused
            )
            token_N[row_M], score_N[row_M] = token_M, score_M
        return token_N, score_N

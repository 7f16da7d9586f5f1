"""The reveal loop: every decoding of this project, rollouts too, is this loop with other parts.

A sample is its prompt followed by L response positions, all masks at first. A forward computes hidden rows of the open
positions of every slot (``schedule``: of what is computed; ``models/packed``: how), each row gets a token and a score
(``sampling``), the method chooses what to reveal (``policies``); finished samples leave and the next take their slots.
What a request decodes to depends on nothing but itself: sequences are packed without padding, noise is keyed, and on a
CPU each runs alone (``at_once``).

Shapes: B slots, L response positions, W columns of a slot, T computed tokens, N open positions.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from tad_core.decoding.packing import Packer, packer_of
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.sampling import tokens_and_scores
from tad_core.decoding.schedule import Schedule
from tad_core.decoding.slots import Slots
from tad_core.decoding.spec import Decoded, DecodeSpec, Request
from tad_core.errors import DataError
from tad_core.fitting import Fitting
from tad_core.models.base import DiffusionLM
from tad_core.models.batching import at_once

#: Tokens of the samples that enter at one forward: their first one computes all of them. What enters together is
#: refreshed together, so this also spreads the refreshes of a cache.
ENTERING_TOKENS = 1 << 15


@torch.inference_mode()
def decode_requests(
    model: DiffusionLM,
    requests: Sequence[Request],
    spec: DecodeSpec,
    slots: int,
    fitting: Fitting,
    seed: int = 0,
    on_done: Callable[[int], None] | None = None,
) -> list[Decoded]:
    """Decode every request; results in their order, each independent of the others.

    Args:
        model: in evaluation mode, on its device.
        requests: what to decode.
        spec: how.
        slots: most samples in one forward on an accelerator; changes the speed only.
        fitting: what is known of the model's memory.
        seed: of the noise of requests that have a temperature.
        on_done: called with the number of finished requests.

    Raises:
        DataError: when a prompt is empty, or too long for the model together with the response.
        ModelError: a cache is asked for and the family has none.
        OutOfMemoryError: not even one request fits.
    """
    check_lengths(model, requests, spec)
    wanted = min(at_once(model.device.type, slots), len(requests))
    # Longest first: memory peaks at the start.
    order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].prompt_ids), i))
    results: dict[int, Decoded] = {}
    told = 0

    def tell() -> None:
        nonlocal told
        if on_done is not None and len(results) > told:
            told = len(results)
            on_done(told)

    while waiting := [i for i in order if i not in results]:
        most = min(fitting.of(wanted), len(waiting))
        # What did not fit begins again with fewer at once: its result is the same, whoever is beside it.
        work = partial(_decode, model, requests, waiting, spec, most, seed, results, tell)
        fitting.attempt(most, _described(model, requests[waiting[0]], spec), work)
    return [results[i] for i in range(len(requests))]


def check_lengths(model: DiffusionLM, requests: Sequence[Request], spec: DecodeSpec) -> None:
    """Raise ``DataError`` for a prompt that is empty or leaves no room for the response."""
    limit = model.max_positions
    for i, request in enumerate(requests):
        size = len(request.prompt_ids)
        if not size:
            raise DataError(f"prompt {i}: it has no tokens; every prompt needs at least one")
        if limit is not None and size + spec.response_length > limit:
            raise DataError(
                f"prompt {i}: {size} tokens and a response of {spec.response_length} are more than "
                f"the model's {limit} positions; shorten the prompt or rollout.response_length"
            )


def _described(model: DiffusionLM, longest: Request, spec: DecodeSpec) -> str:
    return (
        f"a prompt of {len(longest.prompt_ids)} tokens and a response of {spec.response_length} with "
        f"{type(model).__name__}"
    )


def _decode(
    model: DiffusionLM, requests: Sequence[Request], waiting: Sequence[int], spec: DecodeSpec, slots: int, seed: int,
    results: dict[int, Decoded], tell: Callable[[], None],
) -> None:  # fmt: skip
    """Decode those that wait, the longest first, in so many slots."""
    width = len(requests[waiting[0]].prompt_ids) + spec.response_length
    with packer_of(model, slots, width, spec.cache != "none") as packer:
        _Run(model, requests, waiting, spec, packer, seed).to_the_end(results, tell)


class _Run:
    """The loop over the slots of a packer."""

    def __init__(
        self,
        model: DiffusionLM,
        requests: Sequence[Request],
        waiting: Sequence[int],
        spec: DecodeSpec,
        packer: Packer,
        seed: int,
    ) -> None:
        slots, width = packer.slots, packer.width
        self._model, self._requests, self._spec, self._seed = model, requests, spec, seed
        self._waiting, self._packer = deque(waiting), packer
        self._slots = Slots(model, slots, width, spec.response_length)
        self._policy = POLICIES[spec.method](spec, slots, model.device)
        self._schedule = Schedule(spec, slots, width, model.packed_shift, model.device)

    def to_the_end(self, results: dict[int, Decoded], tell: Callable[[], None]) -> None:
        """Until nobody waits; ``tell`` is called whenever there are more results."""
        self._enter()
        self._plan()
        while self._slots.running:
            began = time.perf_counter()
            computed = self._computed
            self._forward()
            finished = self._plan(self._slots.finished(self._spec.early_stop))
            self._slots.took(time.perf_counter() - began, computed)
            if any(finished):
                results |= self._slots.leave([b for b, over in enumerate(finished) if over])
                tell()
            if self._enter():
                self._plan()

    def _enter(self) -> bool:
        """Fill the free slots, as many as may enter at once; whether any did."""
        free, tokens = deque(self._slots.free), 0
        taken: list[tuple[int, int]] = []
        while free and self._waiting and (not taken or tokens < ENTERING_TOKENS):
            index = self._waiting.popleft()
            tokens += len(self._requests[index].prompt_ids) + self._spec.response_length
            taken.append((free.popleft(), index))
        if taken:
            slots, indices = zip(*taken, strict=True)
            entered_B = self._slots.enter(slots, indices, [self._requests[i] for i in indices])
            self._policy.enter(entered_B)
            self._schedule.enter(entered_B)
            self._policy.advance(self._slots.masked_BL, entered_B)
        return bool(taken)

    def _plan(self, finished_B: Tensor | None = None) -> list[bool]:
        """What the next forward computes and may reveal; of the last one, which samples it finished.

        What the host must know is read here, at the one moment of a step at which it waits for the device.
        """
        slots = self._slots
        advance = finished_B is not None
        if finished_B is None:
            finished_B = torch.zeros_like(slots.total_B, dtype=torch.bool)
        running_B = (slots.total_B > 0) & ~finished_B
        if advance:
            self._policy.advance(slots.masked_BL, running_B)
        self._open_BL = self._policy.open(slots.masked_BL) & running_B[:, None]
        self._compute_BW, self._refresh_B = self._schedule.computed(
            slots.masked_BL, self._open_BL, slots.revealed_BL, slots.prompt_B, slots.total_B * running_B
        )
        figures = torch.stack((finished_B, self._open_BL.sum(1), self._compute_BW.sum(1))).tolist()
        finished, self._opened, self._computed = figures
        return [bool(over) for over in finished]

    def _forward(self) -> None:
        """Run the model and write the chosen tokens."""
        slots, policy = self._slots, self._policy
        slot_N, position_N = torch.nonzero_static(self._open_BL, size=sum(self._opened)).unbind(1)
        hidden_ND = self._packer.hidden(
            slots, self._compute_BW, self._computed, slot_N, slots.prompt_B[slot_N] + position_N, self._opened
        )
        noise = slots.noise(self._seed, slot_N, position_N)
        token_N, score_N = tokens_and_scores(self._model, policy, hidden_ND, noise, self._packer.fused)
        scores_BL = torch.zeros_like(self._open_BL, dtype=torch.float64)
        scores_BL[slot_N, position_N] = score_N
        reveal_BL = policy.choose(scores_BL, self._open_BL)
        self._schedule.ran(slots.masked_BL, self._refresh_B, reveal_BL.sum(1))
        slots.reveal(slot_N, position_N, token_N, scores_BL, reveal_BL)

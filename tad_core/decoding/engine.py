"""Many requests of one kind, all there at the start: rollouts and evaluations.

A sample is its prompt followed by L response positions, all masks at first; ``loop`` reveals them. What a request
decodes to depends on nothing but itself: sequences are packed without padding, noise is keyed, and on a CPU each runs
alone (``at_once``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from tad_core.decoding.loop import Loop
from tad_core.decoding.packing import packer_of
from tad_core.decoding.spec import Decoded, DecodeSpec, Job, OnDecoded, Request
from tad_core.errors import ConfigError, DataError
from tad_core.fitting import Fitting
from tad_core.models.base import DiffusionLM
from tad_core.models.batching import at_once


@torch.inference_mode()
def decode_requests(
    model: DiffusionLM,
    requests: Sequence[Request],
    spec: DecodeSpec,
    slots: int,
    fitting: Fitting,
    seed: int = 0,
    on_decoded: OnDecoded = lambda found: None,
) -> list[Decoded]:
    """Decode every request; results in their order, each independent of the others.

    Args:
        model: in evaluation mode, on its device.
        requests: what to decode.
        spec: how.
        slots: most samples in one forward on an accelerator; changes the speed only.
        fitting: what is known of the model's memory.
        seed: of the noise of requests that have a temperature.
        on_decoded: told of those that a forward has finished.

    Raises:
        ConfigError: no sample may be decoded at once.
        DataError: when a prompt is empty, or too long for the model together with the response.
        ModelError: a cache is asked for and the family has none.
        OutOfMemoryError: not even one request fits.
    """
    if slots < 1:  # they would wait for one without an end
        raise ConfigError(f"batch_size: {slots} is not accepted; use a number of 1 or more, or auto")
    check_lengths(model, requests, spec)
    wanted = min(at_once(model.device.type, slots), len(requests))
    # Longest first: memory peaks at the start.
    order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].prompt_ids), i))
    results: dict[int, Decoded] = {}
    while waiting := [i for i in order if i not in results]:
        most = min(fitting.of(wanted), len(waiting))
        # What did not fit begins again with fewer at once: its result is the same, whoever is beside it.
        work = partial(_decode, model, requests, waiting, spec, most, seed, results, on_decoded)
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
    results: dict[int, Decoded], on_decoded: OnDecoded,
) -> None:  # fmt: skip
    """Decode those that wait, the longest first, in so many slots."""
    width = len(requests[waiting[0]].prompt_ids) + spec.response_length
    with packer_of(model, slots, width, spec.lane) as packer:
        loop = Loop(model, packer, spec.response_length)
        for index in waiting:
            loop.add(index, Job(requests[index], spec, seed))
        while loop.busy:
            if done := loop.step():
                results |= done
                on_decoded(done)

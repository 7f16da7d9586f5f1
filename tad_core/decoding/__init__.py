"""Decoding: one loop for rollouts and evaluation; forwards are counted once per sample served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from tad_core.config.marks import with_cost
from tad_core.decoding.engine import decode_requests
from tad_core.decoding.room import slots_for
from tad_core.decoding.spec import Decoded, DecodeSpec, OnDecoded, Request
from tad_core.fitting import Fitting, tell
from tad_core.models.base import DiffusionLM
from tad_core.progress import OnProgress, Progress, silent

__all__ = [
    "DecodeSpec",
    "Decoded",
    "OnDecoded",
    "Request",
    "decode",
    "decode_requests",
    "new_fitting",
    "plan_batches",
    "slots_of",
]


def decode(
    model: DiffusionLM,
    prompts: Sequence[Sequence[int]],
    spec: DecodeSpec,
    batch_size: int | Literal["auto"] = 32,
    on_progress: OnProgress = silent,
    fitting: Fitting | None = None,
    on_decoded: OnDecoded = lambda found: None,
) -> list[Decoded]:
    """Decode every prompt greedily; results in the order of ``prompts``. See ``decode_requests``.

    Args:
        model: in evaluation mode, on its device.
        prompts: token ids, at least one each.
        spec: how to decode.
        batch_size: most samples in one forward on an accelerator, or ``auto``; changes the speed only.
        on_progress: told the samples finished so far.
        fitting: what is known of the model's memory from before.
        on_decoded: told of the samples themselves as they are finished.
    """
    done = 0

    def note(found: Mapping[int, Decoded]) -> None:
        nonlocal done
        done += len(found)
        on_decoded(found)
        on_progress(Progress("decode", done, len(prompts)))

    requests = [Request(prompt) for prompt in prompts]
    slots = slots_of(model, requests, spec, batch_size)
    return decode_requests(model, requests, spec, slots, fitting or new_fitting(), on_decoded=note)


def slots_of(
    model: DiffusionLM, requests: Sequence[Request], spec: DecodeSpec, wanted: int | Literal["auto"]
) -> int:
    """Most samples in one forward: ``wanted``, or with ``auto`` as many as there is room for; see ``room``."""
    longest = max((len(request.prompt_ids) for request in requests), default=0)
    return slots_for(model, wanted, longest, spec.response_length, spec.block_length, spec.cache != "none")


def new_fitting(say: Callable[[str], None] = tell) -> Fitting:
    """For all that is decoded with a model."""
    return Fitting("evaluate.batch_size", f"or shorten {with_cost('rollout.response_length')}", say)


def plan_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices of the samples that are given out together: longest prompts first.

    Args:
        lengths: tokens of each prompt.
        batch_size: most samples in a batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

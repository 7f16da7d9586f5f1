"""Token-by-token, block-ordered rollout, batched (paper, section 3.2 and eq. 9).

One forward reveals one token of each row: in the first unfinished block, the masked position whose sampled
token has the highest probability under the un-noised distribution. Rows that finish leave the batch and the
next request takes their place.

Shapes: B rows, L prompt and response, R response length, N block length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from tad_core.config.marks import with_cost
from tad_core.decoding.confidence import leftmost_argmax, log_odds, probability
from tad_core.fitting import Fitting
from tad_core.models.base import DiffusionLM
from tad_core.models.batching import at_once, logits_at
from tad_core.rollout.noise import gumbel, step_key


@dataclass(frozen=True)
class RolloutRequest:
    """One sample to decode; ``(seed, problem_id, sample)`` keys its noise."""

    problem_id: str
    sample: int
    prompt_ids: list[int]
    temperature: float


@dataclass(frozen=True)
class RolloutSpec:
    """What decides the result of a request."""

    response_length: int
    block_length: int
    seed: int
    finish_early: bool


@dataclass
class RolloutResult:
    """Final tokens, the step at which each was revealed and the confidence it had then."""

    response_ids: list[int]
    revealed_at: list[int]
    confidence: list[float]
    filled_from: int
    forwards: int


@dataclass
class _Row:
    index: int
    request: RolloutRequest
    step: int = 0
    tokens: list[int] = field(default_factory=list)
    revealed_at: list[int] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)


@torch.inference_mode()
def rollout(
    model: DiffusionLM,
    requests: Sequence[RolloutRequest],
    spec: RolloutSpec,
    batch_size: int,
    on_done: Callable[[int], None] | None = None,
    fitting: Fitting | None = None,
) -> list[RolloutResult]:
    """Decode every request; results in the order of the requests, each independent of the others.

    Args:
        model: the teacher, in eval mode.
        requests: what to decode.
        spec: lengths, seed, early finish.
        batch_size: rows decoded together on an accelerator; on a CPU each runs alone, and nothing depends on it.
        on_done: called with the number of finished requests.
        fitting: what is known of the model's memory from before.

    Raises:
        OutOfMemoryError: not even one request fits.
    """
    fitting = fitting or new_fitting()
    batch_size = at_once(next(model.parameters()).device.type, batch_size)
    # Longest prompts first: rows that share a batch then have similar lengths, and little is padded.
    waiting = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids))
    results: dict[int, RolloutResult] = {}
    rows: list[_Row] = []
    put_back: list[_Row] = []
    while waiting or put_back or rows:
        while (waiting or put_back) and len(rows) < fitting.of(batch_size):
            if put_back:
                rows.append(put_back.pop())
            else:
                index = waiting.pop()
                rows.append(_start(index, requests[index], spec, model.mask_token_id))
        finished = fitting.attempt(
            len(rows), _described(model, rows, spec), partial(_advance, model, rows, spec)
        )
        if finished is None:
            most = fitting.of(batch_size)
            rows, put_back = rows[:most], rows[most:] + put_back
            continue
        for row in finished:
            results[row.index] = _result(row, spec, model.eos_token_id)
        if finished:
            rows = [row for row in rows if row.index not in results]
            if on_done is not None:
                on_done(len(results))
    return [results[i] for i in range(len(requests))]


def new_fitting() -> Fitting:
    """For all rollouts of a model."""
    return Fitting(
        "rollout.batch_size",
        f"shorten {with_cost('rollout.response_length')}, or leave out long problems with rollout.max_prompt_tokens",
    )


def _described(model: DiffusionLM, rows: list[_Row], spec: RolloutSpec) -> str:
    longest = max(len(row.request.prompt_ids) for row in rows)
    return (
        f"a prompt of {longest} tokens and a response of {spec.response_length} with {type(model).__name__}"
    )


def _start(index: int, request: RolloutRequest, spec: RolloutSpec, mask_id: int) -> _Row:
    length = spec.response_length
    return _Row(index, request, 0, [mask_id] * length, [0] * length, [0.0] * length)


def _advance(model: DiffusionLM, rows: list[_Row], spec: RolloutSpec) -> list[_Row]:
    """One forward: each row reveals one token of its current block; returns those that are finished.

    The rows change only once nothing is left to compute on the device.
    """
    device, block = next(model.parameters()).device, spec.block_length
    length_B = [len(r.request.prompt_ids) + spec.response_length for r in rows]
    ids_BL = torch.full((len(rows), max(length_B)), model.eos_token_id, dtype=torch.long)
    for b, row in enumerate(rows):
        ids_BL[b, : length_B[b]] = torch.tensor(row.request.prompt_ids + row.tokens)
    first_B = [(row.step // block) * block for row in rows]
    masked_BN = torch.tensor(
        [[at == 0 for at in r.revealed_at[f : f + block]] for r, f in zip(rows, first_B, strict=True)]
    )
    start_B = torch.tensor([len(r.request.prompt_ids) + f for r, f in zip(rows, first_B, strict=True)])
    at_BN = start_B[:, None] + torch.arange(block)
    ids_BL, at_BN, masked_BN = ids_BL.to(device), at_BN.to(device), masked_BN.to(device)

    logits_BNV = logits_at(model, ids_BL, length_B, at_BN).double()
    logits_BNV[..., model.mask_token_id] = -torch.inf
    token_BN = _sample(logits_BNV, rows, first_B, spec)
    margin_BN = log_odds(logits_BNV, token_BN).masked_fill(~masked_BN, -torch.inf)
    pick_B = leftmost_argmax(margin_BN)
    chosen = torch.stack((token_BN, pick_B[:, None].expand_as(token_BN)))
    tokens, picks = chosen.tolist()
    margins = margin_BN.gather(1, pick_B[:, None])[:, 0].tolist()
    for b, row in enumerate(rows):
        row.step += 1
        at = first_B[b] + picks[b][0]
        row.tokens[at] = tokens[b][picks[b][0]]
        row.revealed_at[at] = row.step
        row.confidence[at] = probability(margins[b])
    return [row for row in rows if _is_finished(row, spec, model.eos_token_id)]


def _sample(logits_BNV: Tensor, rows: list[_Row], first_B: list[int], spec: RolloutSpec) -> Tensor:
    """Gumbel-argmax at each row's temperature; plain argmax at temperature 0."""
    heat_B = [row.request.temperature for row in rows]
    if not any(heat_B):
        return logits_BNV.argmax(-1)
    keys_B = [step_key(spec.seed, r.request.problem_id, r.request.sample, r.step + 1) for r in rows]
    noise_BNV = gumbel(keys_B, first_B, logits_BNV.shape[1], logits_BNV.shape[2], logits_BNV.device)
    heat_B11 = torch.tensor(heat_B, dtype=torch.float64, device=logits_BNV.device)[:, None, None]
    return (logits_BNV + heat_B11 * noise_BNV).argmax(-1)


def _is_finished(row: _Row, spec: RolloutSpec, eos_id: int) -> bool:
    if row.step == spec.response_length:
        return True
    return spec.finish_early and _leading_end(row, eos_id) is not None


def _leading_end(row: _Row, eos_id: int) -> int | None:
    """Position of an end-of-text with nothing masked before it."""
    for at, (token, step) in enumerate(zip(row.tokens, row.revealed_at, strict=True)):
        if step == 0:
            return None
        if token == eos_id:
            return at
    return None


def _result(row: _Row, spec: RolloutSpec, eos_id: int) -> RolloutResult:
    forwards, filled_from = row.step, spec.response_length + 1
    for at, step in enumerate(row.revealed_at):
        if step == 0:
            # What follows the end is end-of-text by definition; left to right keeps the block order.
            filled_from = min(filled_from, row.step + 1)
            row.step += 1
            row.tokens[at], row.revealed_at[at] = eos_id, row.step
    return RolloutResult(row.tokens, row.revealed_at, row.confidence, filled_from, forwards)

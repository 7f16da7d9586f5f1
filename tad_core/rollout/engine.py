"""Token-by-token, block-ordered rollout (paper, section 3.2 and eq. 9): decoding with keyed noise, as trajectories.

One forward reveals one token of each sample: in the first unfinished block, the masked position whose sampled token has
the highest probability under the un-noised distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tad_core.config.marks import with_cost
from tad_core.decoding import Decoded, DecodeSpec, Request, decode_requests, slots_of
from tad_core.decoding.confidence import probability
from tad_core.decoding.spec import Cache
from tad_core.fitting import Fitting
from tad_core.models.base import DiffusionLM


@dataclass(frozen=True)
class RolloutRequest:
    """One sample to decode; ``(seed, problem_id, sample)`` keys its noise.

    Attributes:
        problem_id: what is decoded for.
        sample: which of several of the same problem, from 0.
        prompt_ids: at least one token.
        temperature: of the noise; 0 is greedy.
    """

    problem_id: str
    sample: int
    prompt_ids: list[int]
    temperature: float


@dataclass(frozen=True)
class RolloutSpec:
    """What decides the result of a request.

    Attributes:
        response_length: L, tokens of a response.
        block_length: tokens of a block; divides L.
        seed: of the noise.
        finish_early: stop once every position before the first end-of-text is revealed, and fill the others in.
        cache: whether keys and values are kept between forwards.
        refresh_blocks, refresh_forwards, refresh_reveals, refresh_settle: when a cache is refreshed; as of
            ``DecodeSpec``.
    """

    response_length: int
    block_length: int
    seed: int
    finish_early: bool
    cache: Cache = "none"
    refresh_blocks: bool = True
    refresh_forwards: int = 0
    refresh_reveals: int = 0
    refresh_settle: int = 1

    @property
    def decoding(self) -> DecodeSpec:
        """As the decoder takes it."""
        return DecodeSpec(
            self.response_length,
            self.block_length,
            early_stop=self.finish_early,
            cache=self.cache,
            refresh_blocks=self.refresh_blocks,
            refresh_forwards=self.refresh_forwards,
            refresh_reveals=self.refresh_reveals,
            refresh_settle=self.refresh_settle,
        )


@dataclass
class RolloutResult:
    """Final tokens, the step at which each was revealed and the confidence it had then."""

    response_ids: list[int]
    revealed_at: list[int]
    confidence: list[float]
    filled_from: int
    forwards: int


def rollout(
    model: DiffusionLM,
    requests: Sequence[RolloutRequest],
    spec: RolloutSpec,
    batch_size: int | Literal["auto"],
    on_done: Callable[[int], None] = lambda done: None,
    fitting: Fitting | None = None,
) -> list[RolloutResult]:
    """Decode every request; results in the order of the requests, each independent of the others.

    Args:
        model: the teacher, in eval mode.
        requests: what to decode.
        spec: lengths, seed, early finish.
        batch_size: rows decoded together on an accelerator, or ``auto`` for as many as it has room for; on a CPU each
            runs alone, and nothing depends on it.
        on_done: called with the number of finished requests.
        fitting: what is known of the model's memory from before.

    Raises:
        OutOfMemoryError: not even one request fits.
    """
    done = 0

    def count(found: Mapping[int, Decoded]) -> None:
        nonlocal done
        done += len(found)
        on_done(done)

    asked = [Request(r.prompt_ids, (r.problem_id, r.sample), r.temperature) for r in requests]
    slots = slots_of(model, asked, spec.decoding, batch_size)
    decoded = decode_requests(model, asked, spec.decoding, slots, fitting or new_fitting(), spec.seed, count)
    return [_result(one, spec.response_length) for one in decoded]


def new_fitting() -> Fitting:
    """For all rollouts of a model."""
    return Fitting(
        "rollout.batch_size",
        f"shorten {with_cost('rollout.response_length')}, or leave out long problems with rollout.max_prompt_tokens",
    )


def _result(decoded: Decoded, length: int) -> RolloutResult:
    """A permutation of 1 to L: what early stop filled in follows the last forward from left to right.

    What follows the end is end-of-text by definition; left to right keeps the block order.
    """
    step, revealed_at = decoded.forwards, list(decoded.revealed_at)
    for at, revealed in enumerate(revealed_at):
        if not revealed:
            step += 1
            revealed_at[at] = step
    confidence = [
        probability(odds) if revealed else 0.0
        for odds, revealed in zip(decoded.scores, decoded.revealed_at, strict=True)
    ]
    filled_from = decoded.forwards + 1 if decoded.stopped_early else length + 1
    return RolloutResult(decoded.tokens, revealed_at, confidence, filled_from, decoded.forwards)

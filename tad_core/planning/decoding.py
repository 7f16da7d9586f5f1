"""What decoding computes, exact or with a cache: forwards of a sample, and their operations.

Counted as ``decoding/schedule.py`` computes: a refresh computes every token, any other forward what is still masked in
the open blocks and what was just revealed, or with a prefix cache the current block and everything behind it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from tad_core.config import DecodeConfig, TADConfig
from tad_core.config.rollout import CacheConfig
from tad_core.planning.counts import Counts
from tad_core.shapes import PUBLISHED, Shape, read_shape

#: Open blocks on average where several may be: a little more than one for the small distilled models.
OPEN_BLOCKS = 1.5

# --- what was measured on one H100 (docs/results/decode.md), from which the shares of the peak follow --------
_SHAPE = read_shape(PUBLISHED["GSAI-ML/LLaDA-8B-Instruct"])
_LENGTH, _PROMPT, _BLOCK = 256, 300, 32
#: bf16 operations a second of the card, by its data sheet
_PEAK = 989e12
#: samples an hour at 32 at once, every step computed: without a cache, and with one that is refreshed at each block
MEASURED_ROLLOUT_PER_H = {"none": 1112.5, "dual": 10945.8}
#: times the answers an hour with a prefix cache that is refreshed at each block, token by token behind a prompt of 600
#: tokens, on one H200: 3,267.5 of 699.5
PREFIX_TIMES, _ANSWER_PROMPT = 4.67, 600


@dataclass(frozen=True)
class Work:
    """Of one sample: how many forwards, of them refreshes, and the operations of all."""

    forwards: float
    refreshes: float
    flops: float


def work(
    shape: Shape,
    cache: CacheConfig,
    length: int,
    block: int,
    prompt: float,
    forwards: float,
    open_blocks: float = 1.0,
) -> Work:
    """One sample whose response of ``length`` takes so many forwards.

    Args:
        shape: of the model.
        cache: whether keys and values are kept, and what refreshes them.
        length: tokens of the response.
        block: tokens of a block.
        prompt: tokens of the prompt.
        forwards: of the sample; token by token as many as there are tokens.
        open_blocks: blocks that may be revealed at a time.
    """
    tokens, masked = prompt + length, open_blocks * (block + 1) / 2
    whole = shape.forward(tokens, masked)
    if cache.mode == "none":
        return Work(forwards, forwards, forwards * whole)
    blocks, reveals = length / block, length / forwards
    refreshes = 1.0
    if cache.refresh_blocks:
        refreshes = blocks * cache.refresh_settle
        if cache.refresh_reveals:
            refreshes += blocks * ((block - 1) // cache.refresh_reveals)
    elif cache.refresh_reveals:
        refreshes = length / cache.refresh_reveals
    if cache.refresh_forwards:
        refreshes = max(refreshes, forwards / cache.refresh_forwards)
    refreshes = min(refreshes, forwards)
    # Tokens a forward computes, on average over the blocks.
    computed = {
        "dual": masked + reveals, "dual_block": open_blocks * block, "prefix": (length + block) / 2,
    }[cache.mode]  # fmt: skip
    part = shape.partial_forward(computed, tokens, masked)
    return Work(forwards, refreshes, refreshes * whole + (forwards - refreshes) * part)


def work_in_blocks(
    shape: Shape, length: int, block: int, prompt: float, forwards: float, open_blocks: float = 1.0
) -> Work:
    """The same of a model that reads block by block and keeps finished blocks.

    The prompt is read once, open blocks by every forward, and a finished block once more as it stays.
    """
    masked, again = open_blocks * (block + 1) / 2, length - block
    keys = prompt + (length + block) / 2  # of the last open block, on average over the response
    flops = forwards * shape.partial_forward(open_blocks * block, keys, masked)
    flops += shape.partial_forward(prompt, prompt, 0) + shape.partial_forward(again, keys, 0)
    return Work(forwards, 1.0, flops)


def rollout_work(config: TADConfig, shape: Shape, counts: Counts) -> Work:
    """One rollout with every step computed; fewer where the end of the text comes early. As ``at_one_pace``."""
    rollout = config.rollout
    length = rollout.response_length
    sample = work(shape, rollout.cache, length, rollout.block_length, counts.teacher, length)
    return at_one_pace(sample, rollout.cache.mode)


def evaluation_work(
    config: TADConfig,
    shape: Shape,
    counts: Counts,
    forwards: float,
    block: int | None = None,
    decode: DecodeConfig | None = None,
) -> Work:
    """One answer that takes so many forwards; ``block``: of a model that reads block by block; ``decode``: its decoder,
    if not the run's. As ``at_one_pace``."""
    decode, length = decode or config.evaluate.decode, config.rollout.response_length
    several = OPEN_BLOCKS if forwards < length and decode.block_add_threshold < 1 else 1.0
    if block is not None:
        return work_in_blocks(shape, length, block, counts.task, forwards, several)
    answer = work(shape, decode.cache, length, decode.block_length, counts.task, forwards, several)
    return at_one_pace(answer, decode.cache.mode)


def at_one_pace(of: Work, mode: str) -> Work:
    """With as many operations as forwards that compute every token do in its time, whatever is kept.

    So one pace holds for decoders of all kinds: each of a table's models, and what a store has of others.
    """
    return replace(of, flops=of.flops * measured_share("none") / measured_share(mode))


@functools.cache
def measured_share(mode: str) -> float:
    """Share of the bf16 peak that batches of 32 reached without a cache, with a dual one and with a prefix cache."""
    if mode == "prefix":
        exact, kept = (
            work(_SHAPE, CacheConfig.model_validate({"mode": of}), _LENGTH, _BLOCK, _ANSWER_PROMPT, _LENGTH)
            for of in ("none", "prefix")
        )
        return measured_share("none") * PREFIX_TIMES * kept.flops / exact.flops
    mode = mode if mode == "none" else "dual"
    cache = CacheConfig.model_validate({"mode": mode})
    sample = work(_SHAPE, cache, _LENGTH, _BLOCK, _PROMPT, _LENGTH)
    return MEASURED_ROLLOUT_PER_H[mode] / 3600 * sample.flops / _PEAK

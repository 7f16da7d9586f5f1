"""Decoding block by block, read aloud: the whole canvas in every forward, a mask of who sees whom, D2F's states."""

from __future__ import annotations

import math

import torch

from tad_core.decoding import DecodeSpec
from tad_core.models.transformer import TransformerLM, rope_tables
from tests.tad_core.decoding.naive_decoder import Trace, _by_entropy, _row


def sees(prompt: int, length: int, block: int) -> list[list[bool]]:
    """Whether place i sees place j."""
    piece = [0] * prompt + [1 + i // block for i in range(length)]
    return [[piece[j] <= piece[i] for j in range(prompt + length)] for i in range(prompt + length)]


def masked_rows(model: TransformerLM, ids: list[int], seen: list[list[bool]]) -> torch.Tensor:
    """Logits ``[W, V]`` of every place, before the family's shift; differentiable."""
    cos, sin = (
        table[:, None] for table in rope_tables(len(ids), *model.rope_settings(), torch.device("cpu"))
    )

    def rotated(x):
        first, second = x.chunk(2, -1)
        return (x * cos + torch.cat((-second, first), -1) * sin).to(x.dtype)

    hidden = torch.tensor(seen).logical_not()
    x = model.token_embedding()(torch.tensor(ids))
    for layer in model.layers():
        parts, size = layer.parts(), layer.head_size
        normed = parts.attention_norm(x)
        q, k, v = (part(normed).view(len(ids), -1, size) for part in (parts.q, parts.k, parts.v))
        q, k = rotated(q), rotated(k)
        k, v = (y.repeat_interleave(q.shape[1] // k.shape[1], 1) for y in (k, v))
        scores = torch.einsum("qhe,khe->hqk", q, k) / size**0.5
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        x = x + parts.o(torch.einsum("hqk,khe->qhe", weights, v).flatten(1))
        normed = parts.mlp_norm(x)
        x = x + parts.down(torch.nn.functional.silu(parts.gate(normed)) * parts.up(normed))
    return model.head(model.final_norm()(x))


def naive_blocks(model: TransformerLM, prompt: list[int], spec: DecodeSpec) -> Trace:
    """The definition, one forward after the other."""
    mask, eos, length, size = model.mask_token_id, model.eos_token_id, spec.response_length, spec.block_length
    blocks = [range(b * size, (b + 1) * size) for b in range(length // size)]
    trace, seen = Trace([mask] * length, [0] * length), sees(len(prompt), length, size)
    masked, states = [True] * length, ["full"] + ["inactive"] * (len(blocks) - 1)

    def progress(b):
        return sum(not masked[i] for i in blocks[b]) / size

    while any(masked):
        current = next(b for b, block in enumerate(blocks) if any(masked[i] for i in block))
        several = spec.method in ("entropy", "pipeline")
        if several:
            last = max(b for b, state in enumerate(states) if state != "inactive")
            if trace.forwards and last + 1 < len(blocks) and progress(last) >= spec.block_add_threshold:
                states[last + 1] = "semi"
            if not trace.forwards and spec.block_add_threshold == 0 and len(blocks) > 1:
                states[1] = "semi"
            for b, state in enumerate(states):
                if state == "semi" and progress(b - 1) >= spec.decoded_threshold:
                    states[b] = "full"
        trace.states.append(list(states))
        with torch.no_grad():
            logits = masked_rows(model, prompt + trace.tokens, seen).double().tolist()
        trace.forwards += 1
        trace.full_forwards += 1
        added = [b for b, state in enumerate(states) if state != "inactive"] if several else [current]
        opened = max(b for b in added if any(masked[i] for i in blocks[b])) + 1
        trace.computed += len(prompt) + opened * size
        rows = [
            _row(logits[len(prompt) + i - model.packed_shift], mask, spec.mask_in_entropy)
            for i in range(length)
        ]
        if spec.method == "entropy":
            states_e = [
                s if s == "inactive" else "full" if b == current else "semi" for b, s in enumerate(states)
            ]
            chosen = _by_entropy(rows, masked, blocks, states_e, spec.threshold)
        elif spec.method == "pipeline":
            chosen = _by_pipeline(rows, masked, blocks, states, spec.threshold)
        else:
            chosen = [max((i for i in blocks[current] if masked[i]), key=lambda i: (rows[i][1], -i))]
        if trace.reveal(chosen, rows, masked, eos if spec.early_stop else None):
            break
    return trace


def _by_pipeline(rows, masked, blocks, states, threshold):
    chosen = []
    for block, state in zip(blocks, states, strict=True):
        left = [i for i in block if masked[i]]
        sure = [i for i in left if 1 / (1 + math.exp(-rows[i][1])) > threshold]
        if state != "inactive":
            chosen += sure
        if state == "full" and left and not sure:
            chosen.append(max(left, key=lambda i: (rows[i][1], -i)))
    return chosen

"""One sample at a time, in plain loops and Python floats: what the batched decoder must equal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PretrainedConfig

from tad_core.decoding import DecodeSpec
from tad_core.models.base import DiffusionLM


class FormulaConfig(PretrainedConfig):
    model_type = "formula"

    def __init__(self, vocab_size=11, mask_token_id=1, **rest):
        self.vocab_size, self.mask_token_id = vocab_size, mask_token_id
        super().__init__(eos_token_id=0, pad_token_id=0, **rest)


class FormulaModel(DiffusionLM):
    """Logits in closed form: a row of its own for each position plus what the visible tokens vote for."""

    config_class = FormulaConfig

    def __init__(self, seed=0, vocab_size=11, positions=64, sharpness=3.0, eos_bonus=0.0):
        super().__init__(FormulaConfig(vocab_size))
        draw = torch.Generator().manual_seed(seed)
        shape = (vocab_size, vocab_size)
        self.by_position = sharpness * torch.randn(positions, vocab_size, generator=draw, dtype=torch.float64)
        self.by_token = sharpness * torch.randn(*shape, generator=draw, dtype=torch.float64)
        self.by_position[:, 0] += eos_bonus
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.calls = 0
        self.rows = 0

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        self.calls += 1
        self.rows += len(input_ids_BL)
        seen = torch.ones_like(input_ids_BL) if attention_mask_BL is None else attention_mask_BL
        votes = torch.stack(
            [self.by_token[row[keep.bool()]].mean(0) for row, keep in zip(input_ids_BL, seen, strict=True)]
        )
        return self.by_position[: input_ids_BL.shape[1]] + votes[:, None]

    def head(self, hidden_ND):
        return hidden_ND


class TableModel(FormulaModel):
    """Logits of the response positions given outright, whatever is revealed; the prompt has one token."""

    def __init__(self, table_LV):
        super().__init__(vocab_size=len(table_LV[0]))
        self.table = torch.tensor([[0.0] * len(table_LV[0]), *table_LV], dtype=torch.float64)

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        self.calls += 1
        return self.table.expand(len(input_ids_BL), -1, -1)


@dataclass
class Trace:
    tokens: list[int]
    revealed_at: list[int]
    forwards: int = 0
    stopped_early: bool = False
    full_forwards: int = 0
    computed: int = 0
    states: list[list[str]] = field(default_factory=list)

    def reveal(self, chosen: list[int], rows: Any, masked: list[bool], end: int | None) -> bool:
        """Reveal these positions; whether ``end`` is there with nothing masked before it, so that it fills the rest."""
        for i in chosen:
            self.tokens[i], masked[i], self.revealed_at[i] = rows[i][0], False, self.forwards
        ends = [i for i, token in enumerate(self.tokens) if not masked[i] and token == end]
        self.stopped_early = bool(ends) and any(masked) and not any(masked[: ends[0]])
        if self.stopped_early:
            self.tokens = [end if masked[i] else token for i, token in enumerate(self.tokens)]
        return self.stopped_early


def naive_decode(model: DiffusionLM, prompt: list[int], spec: DecodeSpec, decoded_threshold=0.95) -> Trace:
    """The definition, read aloud; ``decoded_threshold`` is the paper's, of which the result does not depend."""
    mask, eos, length, size = model.mask_token_id, model.eos_token_id, spec.response_length, spec.block_length
    blocks = [range(b * size, (b + 1) * size) for b in range(length // size)]
    trace = Trace([mask] * length, [0] * length)
    masked = [True] * length
    states = ["semi"] + ["inactive"] * (len(blocks) - 1)  # all three of the paper

    def progress(b):
        return sum(not masked[i] for i in blocks[b]) / size

    while any(masked):
        if spec.method in SEVERAL:
            added = [b for b, state in enumerate(states) if state != "inactive"]
            if added[-1] + 1 < len(blocks) and progress(added[-1]) >= spec.block_add_threshold:
                states[added[-1] + 1] = "semi"
            for b, state in enumerate(states):
                if state == "semi" and (b == 0 or progress(b - 1) >= decoded_threshold):
                    states[b] = "full"
        trace.states.append(list(states))
        trace.forwards += 1
        trace.full_forwards += 1
        trace.computed += len(prompt) + length
        with torch.no_grad():
            logits = model(torch.tensor([prompt + trace.tokens]))[0, len(prompt) :].double().tolist()
        rows = [_row(logits[i], mask, spec.mask_in_entropy) for i in range(length)]
        if spec.method in SEVERAL:
            chosen = _by_entropy(rows, masked, blocks, states, spec.threshold, spec.method)
        else:
            block = next(b for b in blocks if any(masked[i] for i in b))
            chosen = in_one_block(spec, rows, [i for i in block if masked[i]])
        if trace.reveal(chosen, rows, masked, eos if spec.early_stop else None):
            break
    return trace


def in_one_block(spec, rows, left):
    """What the methods that know one block alone reveal of its masked positions ``left``."""
    surest = sorted(left, key=lambda i: (-rows[i][1], i))
    chance = {i: 1 / (1 + math.exp(-rows[i][1])) for i in left}
    if spec.method == "token_by_token":
        return surest[:1]
    if spec.method == "confidence":
        return [i for i in left if chance[i] >= spec.threshold or i == surest[0]]
    if spec.method == "entropy_block":
        lowest = min(left, key=lambda i: (rows[i][2], i))
        return [i for i in left if rows[i][2] <= spec.threshold or i == lowest]
    if spec.method == "low_confidence":
        return surest[: spec.tokens_per_forward]
    if spec.method == "fixed_budget":
        size, block = spec.block_length, left[0] // spec.block_length
        forwards = spec.forward_budget // spec.blocks + (block < spec.forward_budget % spec.blocks)
        done = 0
        for step in range(forwards):
            count = size // forwards + (step < size % forwards)
            if done == size - len(left):
                return surest[:count]
            done += count
    assert spec.method == "factor"
    fits = [n for n, i in enumerate(surest, 1) if (n + 1) * (1 - chance[i]) < spec.factor]
    return surest[: max(fits, default=1)]


SEVERAL = ("entropy", "d3llm", "d3llm_dream")


def _by_entropy(rows, masked, blocks, states, threshold, method="entropy"):
    active = [i for b, state in zip(blocks, states, strict=True) if state != "inactive" for i in b]
    passes = (lambda h: h <= threshold) if method == "d3llm" else (lambda h: h < threshold)
    chosen = [i for i in active if masked[i] and passes(rows[i][2])]
    if not chosen and method != "d3llm_dream":
        chosen = [min((i for i in active if masked[i]), key=lambda i: (rows[i][2], i))]
    for block, state in zip(blocks, states, strict=True):
        left = [i for i in block if masked[i]]
        if state == "full" and left:
            if not set(left) & set(chosen):
                chosen.append(min(left, key=lambda i: (rows[i][2], i)))
            break
    return chosen


def _row(logits, mask, mask_in_entropy):
    """Greedy token and its log-odds, the mask token excluded, and the entropy of one row."""
    kept = {v: z for v, z in enumerate(logits) if v != mask}
    token = max(kept, key=lambda v: (kept[v], -v))
    others = math.fsum(math.exp(z - kept[token]) for v, z in kept.items() if v != token)
    return token, -math.log(others), _entropy(logits if mask_in_entropy else kept.values())


def _entropy(logits):
    top = max(logits)
    total = math.fsum(math.exp(z - top) for z in logits)
    return math.fsum(-math.exp(z - top) / total * (z - top - math.log(total)) for z in logits)

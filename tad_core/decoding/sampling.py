"""From hidden rows to tokens and scores: the head, the noise, the choice of a token, how sure the model is of it.

Shapes: N rows, D hidden size, V vocabulary.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tad_core.decoding.noise import gumbel, hashed
from tad_core.decoding.policies import Policy
from tad_core.models.base import DiffusionLM
from tad_core.models.compiling import compiled
from tad_core.models.rows import multiples, of_head

#: Fewer rows take another GEMM kernel on CPUs, which rounds differently: the head gets at least these, so that a
#: position's logits do not depend on how many are scored with it.
MIN_HEAD_ROWS = 32
#: Logits scored at once: 256 MiB of float64 on a CPU; on an accelerator they are read as the head gives them.
MAX_SCORED_ELEMENTS = {"cpu": 1 << 25, "cuda": 1 << 28}


class Noise(NamedTuple):
    """What the noise of each row is made of; see ``noise.hashed``.

    Attributes:
        low_N, high_N: the key of the row's sample and step, int32.
        at_N: place in the response, int32.
        heat_N: temperature; 0 is greedy.
    """

    low_N: Tensor
    high_N: Tensor
    at_N: Tensor
    heat_N: Tensor

    def part(self, rows: slice) -> Noise:
        """Of some rows."""
        return Noise(*(of_N[rows] for of_N in self))

    def at(self, row_M: Tensor) -> Noise:
        """Of these rows."""
        return Noise(*(of_N[row_M] for of_N in self))


def tokens_and_scores(
    model: DiffusionLM, policy: Policy, hidden_ND: Tensor, noise: Noise | None, fused: bool
) -> tuple[Tensor, Tensor]:
    """Token and the policy's score of every row, both ``[N]``; a mask is never an answer.

    Args:
        model: its head is used.
        policy: scores.
        hidden_ND: from ``DiffusionLM.packed``.
        noise: None: the most likely token.
        fused: whether kernels may be compiled.
    """
    if len(hidden_ND) == 1:  # threads share the sum of a single row, and whole rows of several
        twice = Noise(*(of_N.repeat(2) for of_N in noise)) if noise else None
        token_N, score_N = tokens_and_scores(model, policy, hidden_ND.repeat(2, 1), twice, fused)
        return token_N[:1], score_N[:1]
    limit = MAX_SCORED_ELEMENTS.get(hidden_ND.device.type, MAX_SCORED_ELEMENTS["cpu"])
    at_once = max(MIN_HEAD_ROWS, limit // model.vocab_size)
    read = _reader(model, policy, noise is not None) if fused else _read
    tokens, scores = [], []
    for part in _parts(len(hidden_ND), at_once):
        part_ND, rows = hidden_ND[part], part.stop - part.start
        part_ND = F.pad(part_ND, (0, 0, 0, _head_rows(model, part_ND) - rows))
        logits_NV = model.head(part_ND)[:rows]
        some = noise.part(part) if noise else None
        token_N, score_N = read(policy, logits_NV, model.mask_token_id, some)
        tokens.append(token_N)
        scores.append(score_N)
    return torch.cat(tokens), torch.cat(scores)


def _parts(rows: int, most: int) -> Iterator[slice]:
    """Rows in parts of ``most`` at most, as even as can be: none is a single row, which would be read otherwise."""
    count = -(-rows // most)
    ends = [rows * i // count for i in range(count + 1)]
    return (slice(first, last) for first, last in pairwise(ends))


def _head_rows(model: DiffusionLM, hidden_ND: Tensor) -> int:
    """How many rows the head is to get for these."""
    rows = len(hidden_ND)
    if not hidden_ND.is_cuda:
        return max(rows, MIN_HEAD_ROWS)
    return of_head(model).first(multiples(rows, MIN_HEAD_ROWS))


def _read(policy: Policy, logits_NV: Tensor, mask_id: int, noise: Noise | None) -> tuple[Tensor, Tensor]:
    exact = torch.float32 if logits_NV.is_cuda and logits_NV.dtype != torch.float32 else torch.float64
    logits_NV = logits_NV.to(exact)
    is_mask_V = torch.arange(logits_NV.shape[-1], device=logits_NV.device) == mask_id
    answers_NV = logits_NV.masked_fill(is_mask_V, -torch.inf)
    if noise is None:
        token_N = answers_NV.argmax(-1)
    else:
        bits_NV = hashed(noise.low_N, noise.high_N, noise.at_N, logits_NV.shape[-1])
        token_N = (answers_NV + noise.heat_N.to(exact)[:, None] * gumbel(bits_NV, exact)).argmax(-1)
    return token_N, policy.score(logits_NV if policy.scores_mask else answers_NV, token_N).double()


_compiled: weakref.WeakKeyDictionary[DiffusionLM, dict[object, Callable[..., Any]]] = (
    weakref.WeakKeyDictionary()
)


def _reader(model: DiffusionLM, policy: Policy, noisy: bool) -> Callable[..., Any]:
    """``_read``, compiled once for each model and each way to choose and to score.

    All that it depends on is in the key: what it is compiled again for, it is compiled for rows as they then are.
    """
    mine = _compiled.setdefault(model, {})
    key = type(policy), policy.scores_mask, noisy
    if key not in mine:
        mine[key] = compiled(_read, ("", "N", "", "N" if noisy else ""))
    return mine[key]

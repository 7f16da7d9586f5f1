"""How sure a model is of a token, and the surest positions: what methods that compare confidences choose by.

Shapes: ... any, V vocabulary, S positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_odds(logits_V: Tensor, token: Tensor) -> Tensor:
    """``log p - log(1 - p)`` of a token ``[...]`` under logits ``[..., V]``.

    Orders like the token's probability, but does not saturate: two that both round to 1 still compare.
    """
    chosen = logits_V.gather(-1, token[..., None])[..., 0]
    is_chosen_V = torch.arange(logits_V.shape[-1], device=token.device) == token[..., None]
    return chosen - logits_V.masked_fill(is_chosen_V, -torch.inf).logsumexp(-1)


def probability(odds: float) -> float:
    """The probability of which ``odds`` are the log-odds.

    One number at a time: torch's vectorised sigmoid rounds a number otherwise alone than in company (AVX2), and what
    is stored of a sample must not depend on its batch.
    """
    if odds >= 0:
        return 1 / (1 + math.exp(-odds))
    return math.exp(odds) / (1 + math.exp(odds))


def highest(score_S: Tensor, count: Tensor) -> Tensor:
    """Which of ``[..., S]`` are the ``count`` ``[...]`` largest, bool; of equals the leftmost."""
    order_S = score_S.sort(stable=True, dim=-1, descending=True).indices
    taken_S = torch.arange(score_S.shape[-1], device=score_S.device) < count[..., None]
    return torch.zeros_like(score_S, dtype=torch.bool).scatter(-1, order_S, taken_S)


def leftmost_argmax(score_S: Tensor) -> Tensor:
    """Index of the largest score of ``[..., S]``; of several, the leftmost (``argmax`` promises no order on a GPU)."""
    last = score_S.shape[-1] - 1
    best_S = score_S == score_S.max(-1, keepdim=True).values
    return torch.where(best_S, torch.arange(last + 1, device=score_S.device), last).min(-1).values

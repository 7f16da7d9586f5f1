"""Attention of sequences that lie end to end, each over its own keys and values.

Shapes: T tokens of a forward; C cells of a cache, or tokens; H heads, K key/value heads, E head size; D hidden;
S queries and L keys of one sequence.
"""

from __future__ import annotations

from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from tad_core.models.layout import Keys, Segments


def attend(q_THE: Tensor, k_CKE: Tensor, v_CKE: Tensor, queries: Segments, keys: Segments | Keys) -> Tensor:
    """Each sequence's queries over its own keys and values, in both directions: ``[T, D]``."""
    if q_THE.is_cuda and q_THE.dtype in (torch.bfloat16, torch.float16):
        # The operator behind torch.nn.attention.varlen, whose own signature still changes from version to version.
        mixed_THE = torch.ops.aten._flash_attention_forward(
            q_THE, k_CKE, v_CKE.to(q_THE.dtype), queries.start_B1, keys.start_B1, queries.longest, keys.longest,
            0.0, False, False, seqused_k=keys.count_B if isinstance(keys, Keys) else None,
        )[0]  # fmt: skip
        return cast(Tensor, mixed_THE).flatten(1)
    differentiated = any(x.requires_grad for x in (q_THE, k_CKE, v_CKE))
    if q_THE.is_cuda and q_THE.dtype == torch.float32 and not differentiated:
        return _in_float32(q_THE, k_CKE, v_CKE, queries, keys)
    return _one_by_one(q_THE, k_CKE, v_CKE, queries, keys)


def attend_and_keep(
    q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor, tokens: Segments
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``attend`` of whole sequences, and what ``attend_back`` wants to know beside what it gave."""
    if q_THE.is_cuda and q_THE.dtype in (torch.bfloat16, torch.float16):
        starts, longest = tokens.start_B1, tokens.longest
        mixed_THE, *kept, _ = torch.ops.aten._flash_attention_forward(
            q_THE, k_TKE, v_TKE, starts, starts, longest, longest, 0.0, False, False
        )
        return mixed_THE.flatten(1), tuple(kept)
    return attend(q_THE, k_TKE, v_TKE, tokens, tokens), ()


def attend_back(
    pulled_TD: Tensor, q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor,
    mixed_TD: Tensor, kept: tuple[Tensor, ...], tokens: Segments,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of queries, keys and values, by that of the result."""
    if kept:
        starts, longest = tokens.start_B1, tokens.longest
        pulled_THE, mixed_THE = (x_TD.view(q_THE.shape) for x_TD in (pulled_TD, mixed_TD))
        logs, *draws = kept
        return cast("tuple[Tensor, Tensor, Tensor]", torch.ops.aten._flash_attention_backward(
            pulled_THE, q_THE, k_TKE, v_TKE, mixed_THE, logs, starts, starts, longest, longest, 0.0, False, *draws
        ))  # fmt: skip
    with torch.enable_grad():
        again = [x.detach().requires_grad_() for x in (q_THE, k_TKE, v_TKE)]
        mixed_TD = _one_by_one(again[0], again[1], again[2], tokens, tokens)
    q, k, v = torch.autograd.grad(mixed_TD, again, pulled_TD)
    return q, k, v


def _in_float32(
    q_THE: Tensor, k_CKE: Tensor, v_CKE: Tensor, queries: Segments, keys: Segments | Keys
) -> Tensor:
    """The kernel of packed sequences that takes float32; heads that share keys are to it more rows of one head."""
    count, heads, size = q_THE.shape
    shared = k_CKE.shape[1]
    rows = heads // shared
    q = q_THE.view(count, shared, rows, size).transpose(1, 2).reshape(1, count * rows, shared, size)
    mixed = torch.ops.aten._efficient_attention_forward(
        q, k_CKE[None], v_CKE.to(q.dtype)[None], None, queries.start_B1 * rows, keys.start_B1,
        queries.longest * rows, keys.longest, 0.0, 0, seqlen_k=keys.count_B if isinstance(keys, Keys) else None,
    )[0]  # fmt: skip
    return cast(Tensor, mixed).view(count, rows, shared, size).transpose(1, 2).reshape(count, heads * size)


def _one_by_one(
    q_THE: Tensor, k_CKE: Tensor, v_CKE: Tensor, queries: Segments, keys: Segments | Keys
) -> Tensor:
    """Sequence after sequence, with the kernels that each takes alone."""
    out, first = [], 0
    starts = keys.starts if isinstance(keys, Keys) else [0, *accumulate(keys.counts)]
    for count, start, length in zip(queries.counts, starts, keys.counts, strict=False):
        if not count:
            continue
        q = q_THE[first : first + count]
        k, v = k_CKE[start : start + length], v_CKE[start : start + length]
        out.append(_alone(q, k, v))
        first += count
    return out[0] if len(out) == 1 else torch.cat(out)


def _alone(q_SHE: Tensor, k_LKE: Tensor, v_LKE: Tensor) -> Tensor:
    """One sequence: see ``transformer.attend``."""
    rows, heads, size = q_SHE.shape
    shared = k_LKE.shape[1]
    q = q_SHE.transpose(0, 1)
    q = q if shared == heads else q.reshape(shared, heads // shared * rows, size)
    k, v = k_LKE.transpose(0, 1), v_LKE.transpose(0, 1).to(q.dtype)
    mixed = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    return mixed.reshape(heads, rows, size).transpose(0, 1).flatten(1)

"""Gumbel noise from a counter: the same on every device, for every batch, shard and worker.

A cell of it is a 32-bit hash of (seed, problem, sample, step) and (position, token); how it is turned into a number
is the device's: float64 where that is cheap, float32 on an accelerator, where it is made within the kernel that reads
the logits.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.models.bits import mixed
from tad_core.rng import key

_LOW32 = 0xFFFFFFFF


def step_key(seed: int, problem_id: str, sample: int, step: int) -> tuple[int, int]:
    """The two 32-bit halves of the key of one step of one sample."""
    value = key("rollout", seed, problem_id, sample, step)
    return value & _LOW32, value >> 32


def hashed(low_N: Tensor, high_N: Tensor, at_N: Tensor, vocab: int) -> Tensor:
    """32 random bits for each row and token, ``[N, V]`` int32.

    Args:
        low_N: lower half of ``step_key``, int32.
        high_N: upper half.
        at_N: place of the row in its response, int32.
        vocab: V.
    """
    token_V = torch.arange(vocab, dtype=torch.int32, device=at_N.device)
    cell_NV = at_N[:, None] * vocab + token_V
    return mixed(mixed(cell_NV ^ low_N[:, None]) ^ high_N[:, None])


def gumbel(bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Standard Gumbel noise from random bits: ``-log(-log u)`` with ``u = (bits + 1/2) / 2**32``.

    In float32 ``log u`` is taken from ``1 - u``, which keeps every bit where the noise is largest: a token of
    probability 1e-8 is drawn as often as it should be.
    """
    if dtype == torch.float64:
        uniform = ((bits.long() & _LOW32).double() + 0.5) / 2.0**32
        return -torch.log(-torch.log(uniform))
    flipped = ~bits
    # Unsigned, in two pieces that float32 and int32 both hold.
    rest = (((flipped >> 1) & 0x7FFFFFFF).float() * 2 + ((flipped & 1).float() + 0.5)) * 2.0**-32
    # float32 has no number between this and 1: the smallest noise is -2.8, and finite.
    return -torch.log(-torch.log1p(-rest.clamp(max=1 - 2.0**-24)))

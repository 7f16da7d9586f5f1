"""Gumbel noise from a counter: the same on every device, for every batch, shard and worker.

Shapes: B rows, N positions of a block, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.rng import key

_LOW32 = 0xFFFFFFFF


def step_key(seed: int, problem_id: str, sample: int, step: int) -> tuple[int, int]:
    """The two 32-bit halves of the key of one step of one sample."""
    value = key("rollout", seed, problem_id, sample, step)
    return value & _LOW32, value >> 32


def gumbel(
    keys_B: list[tuple[int, int]], first_B: list[int], count: int, vocab: int, device: torch.device
) -> Tensor:
    """Standard Gumbel noise ``[B, N, V]`` in float64.

    Args:
        keys_B: ``step_key`` of each row.
        first_B: index in the response of each row's first position.
        count: N.
        vocab: V.
        device: where to make it.
    """
    low_B11 = torch.tensor([k[0] for k in keys_B], device=device)[:, None, None]
    high_B11 = torch.tensor([k[1] for k in keys_B], device=device)[:, None, None]
    at_BN1 = (torch.tensor(first_B, device=device)[:, None] + torch.arange(count, device=device))[..., None]
    cell_BNV = at_BN1 * vocab + torch.arange(vocab, device=device)
    bits_BNV = _mix(_mix((cell_BNV ^ low_B11) & _LOW32) ^ high_B11)
    uniform_BNV = (bits_BNV.double() + 0.5) / 2.0**32
    return -torch.log(-torch.log(uniform_BNV))


def _mix(x: Tensor) -> Tensor:
    """A 32-bit integer hash (two multiply-xorshift rounds), kept in int64 because torch has no uint32 arithmetic."""
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _LOW32
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _LOW32
    return x ^ (x >> 16)

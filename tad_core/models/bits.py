"""A 32-bit integer hash in torch's own operations, which compile into the kernel that reads it."""

from __future__ import annotations

from torch import Tensor


def signed(half: int) -> int:
    """The same 32 bits as an int32: torch has no arithmetic of unsigned numbers."""
    return half - 2**32 if half >= 2**31 else half


def mixed(x: Tensor) -> Tensor:
    """The hash (two multiply-xorshift rounds) of int32, whose products wrap; shifts are made logical."""
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * signed(0x7FEB352D)
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * signed(0x846CA68B)
    return x ^ ((x >> 16) & 0xFFFF)

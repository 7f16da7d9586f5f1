"""Rotation by position on a GPU, in place or from one memory to another: one pass over what is rotated alone.

What torch.compile makes of the same takes three times as long, since halves that change places are read one by one.

Shapes: T tokens, H heads, E head size.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Heads of a token that one program rotates.
_HEADS = 16


@triton.jit  # type: ignore[untyped-decorator]
def _turn(x, x_row, y, y_row, cos, sin, heads, sign, HALF: tl.constexpr, HEADS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    at = tl.arange(0, HALF)
    mask = (head < heads)[:, None]
    cos_1E = tl.load(cos + row * 2 * HALF + at).to(tl.float32)[None, :]
    # The first half of the table is the negated second.
    sin_1E = tl.load(sin + row * 2 * HALF + HALF + at).to(tl.float32)[None, :] * sign
    offset = head[:, None] * 2 * HALF + at[None, :]
    first = tl.load(x + row * x_row + offset, mask=mask).to(tl.float32)
    second = tl.load(x + row * x_row + offset + HALF, mask=mask).to(tl.float32)
    kind = y.dtype.element_ty
    tl.store(y + row * y_row + offset, (first * cos_1E - second * sin_1E).to(kind), mask=mask)
    tl.store(y + row * y_row + offset + HALF, (second * cos_1E + first * sin_1E).to(kind), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def _copy(x, x_row, y, y_row, size, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + row * y_row + at, tl.load(x + row * x_row + at, mask=at < size), mask=at < size)


def rotates(size: int) -> bool:
    """Whether there is a kernel for heads of this size: for powers of two."""
    return size >= 2 and size & (size - 1) == 0


def turn(x_TO: Tensor, y_TO: Tensor, cos_TE: Tensor, sin_TE: Tensor, back: bool = False) -> None:
    """Rotate heads that lie side by side, or turn them back.

    Args:
        x_TO: ``[T, H E]``; its rows may be parts of longer ones.
        y_TO: what is written, of the same shape; may be ``x_TO``.
        cos_TE: see ``TransformerLM.rotations``.
        sin_TE: likewise.
        back: in the other direction, as gradients go.
    """
    count, size = cos_TE.shape
    heads = x_TO.shape[1] // size
    with torch.cuda.device(x_TO.device):
        _turn[(count, triton.cdiv(heads, _HEADS))](
            x_TO, x_TO.stride(0), y_TO, y_TO.stride(0), cos_TE, sin_TE, heads, -1.0 if back else 1.0,
            HALF=size // 2, HEADS=_HEADS,
        )  # fmt: skip


def copy(x_TO: Tensor, y_TO: Tensor) -> None:
    """Copy rows that may be parts of longer ones."""
    count, size = x_TO.shape
    with torch.cuda.device(x_TO.device):
        _copy[(count, triton.cdiv(size, 1024))](x_TO, x_TO.stride(0), y_TO, y_TO.stride(0), size, BLOCK=1024)

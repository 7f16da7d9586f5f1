"""Rows to 8-bit floats on a GPU, each read once: what torch.compile makes of long rows reads them twice.

Shapes: N rows, K numbers of a row.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Numbers of a row that a warp holds.
_A_WARP = 2048


@triton.jit  # type: ignore[untyped-decorator]
def _scale(x, x_row, values, scales, size, least, MOST: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    x_K = tl.load(x + row * x_row + at, mask=at < size, other=0.0).to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(x_K)), least) / MOST
    tl.store(values + row * size + at, (x_K / scale).to(values.dtype.element_ty), mask=at < size)
    tl.store(scales + row, scale)


def scale(x_NK: Tensor, values_NK: Tensor, scale_N1: Tensor, most: float, least: float) -> None:
    """See ``float8.scaled``.

    Args:
        x_NK: what is scaled; its rows may be parts of longer ones.
        values_NK: is written.
        scale_N1: is written.
        most: the largest value there is.
        least: no row counts as smaller.
    """
    count, size = x_NK.shape
    block = triton.next_power_of_2(size)
    warps = min(16, max(1, block // _A_WARP))
    with torch.cuda.device(x_NK.device):
        _scale[(count,)](
            x_NK, x_NK.stride(0), values_NK, scale_N1, size, least, MOST=most, BLOCK=block, num_warps=warps
        )

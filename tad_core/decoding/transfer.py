"""Numbers between host and device, of which neither waits for what the device has begun meanwhile.

A copy from memory that is not pinned waits for everything that was begun before it: within a step that is the next
forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def to_device(numbers: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of these numbers (lists of them), there."""
    here = torch.tensor(numbers, dtype=dtype)
    return (here.pin_memory() if device.type == "cuda" else here).to(device, non_blocking=True)


def to_host(figures: Tensor) -> Callable[[], list[list[int]]]:
    """Start to bring figures to the host; call it to wait for them, and for nothing that was begun after them."""
    if not figures.is_cuda:
        return figures.tolist
    there = torch.empty(figures.shape, dtype=figures.dtype, pin_memory=True)
    there.copy_(figures, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    # The stream of where they are: the current device may be another.
    arrived.record(torch.cuda.current_stream(figures.device))

    def read() -> list[list[int]]:
        arrived.synchronize()
        figures: list[list[int]] = there.tolist()
        return figures

    return read

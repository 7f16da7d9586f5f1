"""Numbers between host and device."""

from __future__ import annotations

import torch

from tad_core.decoding.transfer import to_device, to_host


def test_on_a_cpu_numbers_are_there_at_once() -> None:
    figures = to_device([[1, 2], [3, 4]], torch.device("cpu"), torch.int32)
    assert figures.dtype == torch.int32
    assert to_host(figures)() == [[1, 2], [3, 4]]
    assert to_device([0.5], torch.device("cpu"), torch.float64).dtype == torch.float64

"""Samples on a CPU keep no company, and what is shared by all has one shape."""

from __future__ import annotations

import pytest
import torch

from tad_core.models.batching import at_once
from tad_core.models.transformer import ROPE_PIECE, rope_tables


def test_a_sample_is_alone_on_a_cpu_only() -> None:
    assert [at_once("cpu", wanted) for wanted in (1, 7, 32)] == [1, 1, 1]
    assert [at_once("cuda", wanted) for wanted in (1, 7, 32)] == [1, 7, 32]


@pytest.mark.determinism
@pytest.mark.parametrize("head_size", [6, 16, 128])
def test_the_rotation_of_a_position_does_not_depend_on_the_length_of_the_table(head_size: int) -> None:
    whole = rope_tables(3 * ROPE_PIECE + 5, head_size, 1e4, torch.device("cpu"))
    for length in (1, 7, ROPE_PIECE - 1, ROPE_PIECE, ROPE_PIECE + 1):
        for long_LE, short_LE in zip(
            whole, rope_tables(length, head_size, 1e4, torch.device("cpu")), strict=True
        ):
            assert short_LE.shape == (length, head_size)
            assert torch.equal(short_LE, long_LE[:length])


@pytest.mark.parametrize("length", [1, 40, ROPE_PIECE, ROPE_PIECE + 3])
def test_rotations_are_the_cosine_and_sine_of_position_times_frequency(length: int) -> None:
    cos_LE, sin_LE = rope_tables(length, 4, 100.0, torch.device("cpu"))
    position_L = torch.arange(length, dtype=torch.float64)
    for column, frequency in enumerate((1.0, 0.1, 1.0, 0.1)):
        torch.testing.assert_close(
            cos_LE[:, column].double(), (position_L * frequency).cos(), atol=2e-5, rtol=0
        )
        torch.testing.assert_close(
            sin_LE[:, column].double(), (position_L * frequency).sin(), atol=2e-5, rtol=0
        )

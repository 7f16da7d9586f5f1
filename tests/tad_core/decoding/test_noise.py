"""The noise: its bits by the definition, its distribution, and that nothing but its key decides it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.decoding.noise import gumbel, hashed, step_key
from tad_core.models.bits import signed

DTYPES = [torch.float64, torch.float32]


def int32(values):
    return torch.tensor([signed(v) for v in values], dtype=torch.int32)


def noise(keys, at, vocab, dtype):
    bits = hashed(int32([k[0] for k in keys]), int32([k[1] for k in keys]), int32(at), vocab)
    return gumbel(bits, dtype)


def mixed(x):
    """The hash in unsigned arithmetic."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> shift)) * factor) % 2**32
    return x ^ (x >> 16)


@given(low=st.integers(0, 2**32 - 1), high=st.integers(0, 2**32 - 1), at=st.integers(0, 8191))
@settings(max_examples=60, deadline=None)
def test_bits_are_those_of_the_definition(low, high, at):
    vocab = 152_064
    bits = hashed(int32([low]), int32([high]), int32([at]), vocab)[0]
    for token in (0, 1, 77, vocab - 1):
        assert int(bits[token]) == signed(mixed(mixed((at * vocab + token) % 2**32 ^ low) ^ high))


@pytest.mark.parametrize("bits", [0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_numbers_are_those_of_the_definition(bits):
    expected = -math.log(-math.log1p(-((2**32 - 1 - bits) + 0.5) / 2**32))
    for dtype in DTYPES:
        # The smallest, by which no token is chosen, is not as small in float32; it is finite.
        bound = -2.81 if dtype == torch.float32 else -math.inf
        assert float(gumbel(int32([bits]), dtype)) == pytest.approx(max(expected, bound), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gumbel_argmax_samples_the_softmax(dtype):
    logits = torch.tensor([0.0, 1.0, 2.0], dtype=dtype)
    keys = [step_key(0, "p", 0, step) for step in range(4000)]
    drawn = noise(keys, [0] * len(keys), 3, dtype)
    assert torch.isfinite(drawn).all()
    counts = torch.bincount((logits + drawn).argmax(-1), minlength=3) / len(keys)
    assert torch.allclose(counts.to(dtype), logits.softmax(-1), atol=0.025)
    sharp = torch.bincount((logits + 0.5 * drawn).argmax(-1), minlength=3) / len(keys)
    assert torch.allclose(sharp.to(dtype), (2 * logits).softmax(-1), atol=0.025)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_tail_is_drawn_as_often_as_it_should_be(dtype):
    """One token of nearly all the probability and a tail whose tokens have 4e-7 each, together 2 %."""
    tail = 50_000
    logits = torch.full((tail + 1,), math.log(4e-7), dtype=dtype)
    logits[0] = math.log(0.98)
    keys = [step_key(1, "p", 0, step) for step in range(1500)]
    drawn = [int((logits + noise([key], [3], tail + 1, dtype)[0]).argmax()) for key in keys]
    hits = sum(token > 0 for token in drawn)
    assert abs(hits - 0.02 * len(keys)) < 4 * math.sqrt(0.02 * len(keys))


@given(first=st.integers(0, 40), count=st.integers(1, 5), skip=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_noise_of_a_cell_does_not_depend_on_the_rows_asked_for(first, count, skip):
    rows = list(range(first, first + count + skip))
    wide = hashed(int32([5] * len(rows)), int32([9] * len(rows)), int32(rows), 7)
    part = hashed(int32([5] * count), int32([9] * count), int32(rows[skip:]), 7)
    assert torch.equal(wide[skip:], part)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_bits_are_the_same_on_a_gpu_and_compiled():
    arguments = int32([3, 2**32 - 5]), int32([2**31 + 9, 4]), int32([0, 250]), 126_464
    here = hashed(*arguments)
    there = [a.cuda() if isinstance(a, torch.Tensor) else a for a in arguments]
    assert torch.equal(hashed(*there).cpu(), here)
    assert torch.equal(torch.compile(hashed, dynamic=True)(*there).cpu(), here)

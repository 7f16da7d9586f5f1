"""Gradients that an optimizer sees once a step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tad_core.training.held import Held


def weight(value: float, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter(torch.full((1,), value, dtype=dtype))


def test_the_last_way_back_gives_those_of_all() -> None:
    """By hand: of a loss ``c a b`` a has ``c b`` and b has ``c a``."""
    a, b = weight(2.0), weight(3.0)
    seen: list[float] = []
    a.register_post_accumulate_grad_hook(lambda of: seen.append(float(of.grad)))
    held = Held([a, b])
    for _ in range(2):  # steps
        a.grad = b.grad = None
        for c in (1.0, 10.0):
            held.add((c * a * b).sum())
            assert a.grad is None and b.grad is None
        loss = held.with_all((100.0 * a * b).sum())
        assert float(loss.detach()) == 600.0
        loss.backward()
        assert (float(a.grad), float(b.grad)) == (333.0, 222.0)
    assert seen == [333.0, 333.0]


def test_a_weight_that_the_last_micro_batch_does_not_reach_has_its_own_all_the_same() -> None:
    a, b, c = weight(2.0), weight(3.0), weight(5.0)
    held = Held([a, b, c])
    held.add((a * b).sum())
    held.add((7 * a).sum())
    held.with_all((11 * a).sum()).backward()
    assert (float(a.grad), float(b.grad), c.grad) == (3.0 + 7 + 11, 2.0, None)


def test_a_scaled_loss_scales_what_was_held() -> None:
    a = weight(2.0)
    held = Held([a])
    held.add((3 * a).sum())
    (held.with_all((5 * a).sum()) * 1024).backward()
    assert float(a.grad) == 8 * 1024


def test_a_single_micro_batch_is_as_it_is() -> None:
    a = weight(2.0)
    Held([a]).with_all((3 * a).sum()).backward()
    assert float(a.grad) == 3.0


@pytest.mark.parametrize("small", [2.0**-9])
def test_many_small_ones_are_not_lost_in_weights_of_fewer_bits(small: float) -> None:
    """In bfloat16 ``1 + 2^-9`` is 1, however often it is added."""
    a = weight(1.0, torch.bfloat16)
    held = Held([a])
    held.add((1.0 * a).sum())
    for _ in range(254):
        held.add((small * a).sum())
    held.with_all((small * a).sum()).backward()
    assert a.grad.dtype == torch.bfloat16 and float(a.grad) == 1.5

"""One kernel for any number of rows, made for the same one wherever it is needed first."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pytest
import torch

from tad_core.models import compiling
from tad_core.models.compiling import SIZES, compiled


@pytest.fixture
def seen(monkeypatch):
    """Shapes of the inputs of every graph that dynamo hands over."""
    shapes = []

    def backend(graph, inputs):
        shapes.append([tuple(t.shape) for t in inputs if isinstance(t, torch.Tensor)])
        return graph

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, options: partial(real, backend=backend)(f))
    torch._dynamo.reset()
    yield shapes
    torch._dynamo.reset()


def scaled(x_ND, at_N, by):
    return x_ND.sum(1)[at_N] * by


class Pair(NamedTuple):
    x_ND: torch.Tensor
    shift_N: torch.Tensor


def summed(pair, other):
    return pair.x_ND.sum(1) + pair.shift_N + (0 if other is None else other)


@pytest.mark.parametrize("first", [2, 7, 512])
def test_it_is_made_once_for_the_same_sizes_whatever_comes_first(seen, first):
    fast = compiled(scaled, ("T", "N", ""))
    for rows in (first, 2, 3, 64, 1000, 2048):
        x, at = torch.randn(rows, 5), torch.arange(rows).flip(0)[: max(2, rows // 2)]
        assert torch.equal(fast(x, at, 3), scaled(x, at, 3))
    (shapes,) = seen
    hints = [[s.node.hint if isinstance(s, torch.SymInt) else s for s in shape] for shape in shapes]
    assert [SIZES["T"], 5] in hints and [SIZES["N"]] in hints


def test_rows_and_places_of_equal_number_stay_apart(seen):
    fast = compiled(scaled, ("T", "N", ""))
    for rows, places in ((4, 4), (4, 3), (9, 9), (2, 7)):
        fast(torch.randn(rows, 5), torch.zeros(places, dtype=torch.long), 3)
    assert len(seen) == 1


def test_tuples_are_gone_through_and_what_has_no_axis_is_left(seen):
    fast = compiled(summed, ("N", ""))
    for rows in (3, 5):
        pair = Pair(torch.randn(rows, 4), torch.randn(rows))
        assert torch.equal(fast(pair, None), summed(pair, None))
    assert len(seen) == 1


def test_more_variants_than_dynamo_keeps_of_one_function_are_all_compiled(seen):
    limit = torch._dynamo.config.recompile_limit
    for width in range(1, limit + 4):
        fast = compiled(scaled, ("T", "N", ""))
        fast(torch.randn(6, width), torch.arange(6), 2)
    assert len(seen) == limit + 3


def test_kernels_are_not_chosen_by_timing():
    assert compiling._options() == {"deterministic": True}

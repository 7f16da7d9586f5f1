"""What of recorded layers needs no GPU: sizes, where gradients are added up, what is recorded again when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from tad_core.config import LoraConfig, ModelConfig
from tad_core.models import between, packed
from tad_core.models.adapted import Adapted, adapted
from tad_core.models.between import Pieces
from tad_core.models.layout import Segments
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of
from tad_core.models.maps import Map
from tad_core.models.packed import record_training
from tad_core.models.recorded import Stack, _Buffers, _Graph, _Recorded, attach, rounded
from tad_core.models.stack import gradients_in, sums_of, weights_of
from tad_core.training.adapters import Switch
from tests.tad_core.models import graphs
from tests.tad_core.models.steps import held_steps, micro_batch, push, trained, two_steps


def test_sizes_are_few_and_not_much_more_than_what_they_run() -> None:
    found = {tokens: rounded(tokens) for tokens in range(1, 9000)}
    for tokens, size in found.items():
        assert tokens <= size < tokens + max(16, tokens / 16), tokens
        assert size % 16 == 8  # no multiple of what libraries choose slower products for
    assert rounded(1624) == 1624
    assert len({size for tokens, size in found.items() if 1024 <= tokens < 2048}) <= 34


@pytest.fixture
def layers(deep_checkpoint: Path) -> list[Adapted]:
    base = load_model(ModelConfig(path=str(deep_checkpoint)), "cpu")
    add_lora(base, LoraConfig(rank=4, alpha=4, dropout=0.0), 0)
    at_T = torch.arange(20)
    tables = base.rotations(at_T, 20, torch.float32)
    tokens = Segments.of([12, 8], torch.device("cpu"))
    found = [
        adapted(layer.parts(), layer.head_size, torch.float32, *tables, tokens, Pieces(False))
        for layer in base.layers()
    ]
    return [layer for layer in found if layer is not None]


def test_gradients_have_the_shapes_and_the_order_of_their_weights(layers: list[Adapted]) -> None:
    weights, sums = weights_of(layers), sums_of(layers)
    totals = gradients_in(sums)
    assert len(weights) == 4 * 7 * 2
    assert [total.shape for total in totals] == [weight.shape for weight in weights]
    sums[1][0].a_RD.fill_(1.0)  # of q, k and v of the second layer
    assert [i for i, total in enumerate(totals) if total.any()] == [14, 16, 18]


def test_weights_without_gradient_begin_with_zeros_and_others_go_on() -> None:
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    totals = [torch.full((2,), 7.0) for _ in weights]
    weights[1].grad = torch.full((2,), 3.0)  # made elsewhere
    weights[2].grad = totals[2]
    attach(weights, totals)
    assert all(weight.grad is total for weight, total in zip(weights, totals, strict=True))
    assert [float(total[0]) for total in totals] == [0.0, 3.0, 7.0]
    attach(weights, totals)
    assert [float(total[0]) for total in totals] == [0.0, 3.0, 7.0]


@dataclass
class Recording:
    buffers: Any


def test_a_longer_one_has_others_recorded_again(
    layers: list[Adapted], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    stack, x_TD = Stack(), torch.zeros(20, 32)

    def recorded(count: int, trained: bool) -> Any:
        buffers = stack._buffers_for(layers, x_TD, count, trained)
        assert len(buffers.x_TD) >= count and len(buffers.pulled_TD) == (len(buffers.x_TD) if trained else 0)
        stack._graphs[count, trained] = Recording(buffers)  # type: ignore[index,assignment]
        stack._pool = "memory"
        return buffers

    base = recorded(40, False)
    first = recorded(24, True)  # the first of training: into memory of its own
    assert list(stack._graphs) == [(24, True)] and waited == [1]
    assert recorded(40, False) is base and recorded(24, True) is first and recorded(8, True) is first
    longer = recorded(56, False)
    assert longer is not base and list(stack._graphs) == [(24, True), (8, True), (56, False)]
    more = recorded(40, True)
    assert more is not first and list(stack._graphs) == [(40, True)]
    assert recorded(56, False) is longer


class OnGpu:
    """All that is asked of a residual stream to choose a graph for it."""

    is_cuda, dtype = True, torch.bfloat16

    def __len__(self) -> int:
        return 20


def with_groups(layer: Adapted, change: Callable[[Map], Map]) -> Adapted:
    """The layer with other maps."""
    return replace(layer, groups=tuple(tuple(map(change, group)) for group in layer.groups))  # type: ignore[arg-type]


def without_adapters(layer: Adapted) -> Adapted:
    return with_groups(layer, lambda one: one._replace(adapter=None))


def dropping(layer: Adapted, share: float) -> Adapted:
    return with_groups(
        layer, lambda one: one._replace(adapter=one.adapter and one.adapter._replace(dropout=share))
    )


def test_no_graph_is_taken_for_layers_of_which_some_are_others(
    layers: list[Adapted], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, made = Stack(), []

    def record(layers: Any, x_TD: Any, count: int, weights: list[nn.Parameter], *_: Any) -> Any:
        made.append(SimpleNamespace(places=[weight.data_ptr() for weight in weights]))
        return made[-1]

    monkeypatch.setattr(stack, "_record", record)

    def graph(layers: list[Adapted], trained: bool) -> Any:
        on = weights_of(layers)
        return stack._graph_for(layers, cast(Any, OnGpu()), on, trained, False)

    first, second, *rest = layers
    base = [without_adapters(layer) for layer in layers]
    plain = graph(base, False)
    assert plain is not None and graph(base, False) is plain
    # An adapter that is on further behind is not the base.
    assert graph([base[0], second, *base[2:]], False) is None
    found = [
        graph(given, True)
        for given in (
            layers, [first, dropping(second, 0.1), *rest], [first, dropping(second, 0.2), *rest],
            [first, base[1], *rest], [base[0], second, *rest],
        )
    ]  # fmt: skip
    assert len({id(one) for one in (plain, *found)}) == len(made) == 6
    assert graph(layers, True) is found[0] and len(made) == 6


def test_gradients_of_some_weights_are_not_added_up_as_those_of_others(layers: list[Adapted]) -> None:
    stack, (first, second, *rest) = Stack(), layers
    of_all, of_less = (weights_of(given) for given in (layers, [first, without_adapters(second), *rest]))
    assert of_all[0] is of_less[0]
    totals = stack._totals_of(layers, of_all)
    assert len(stack._totals_of([first, without_adapters(second), *rest], of_less).each) == len(of_less)
    assert stack._totals_of(layers, of_all) is totals


def test_without_a_gpu_nothing_is_recorded(layers: list[Adapted]) -> None:
    stack, x_TD = Stack(), torch.randn(20, 32)
    found = stack(layers, x_TD, False)
    assert found.requires_grad and not stack._graphs
    found.sum().backward()
    assert all(weight.grad is not None for weight in weights_of(layers))


class Replayed:
    """A graph that notes that it ran."""

    def __init__(self) -> None:
        self.times = 0

    def replay(self) -> None:
        self.times += 1


def test_a_second_way_back_is_refused(layers: list[Adapted]) -> None:
    """The memory of what a forward kept has been used for other things on the first."""
    x_TD, count = torch.randn(20, 32), 24
    buffers = _Buffers.of(x_TD, layers, count, True)
    forth, back, weights = Replayed(), Replayed(), weights_of(layers)
    graph = _Graph(buffers, count, torch.zeros(4, dtype=torch.int32), forth, back, [])  # type: ignore[arg-type]
    run = _Recorded(graph, layers, weights, gradients_in(sums_of(layers)))
    buffers.pulled_TD.fill_(7.0)
    assert run.forward(x_TD).shape == x_TD.shape and run.under_way
    run.backward(torch.ones_like(x_TD))
    assert not run.under_way and (forth.times, back.times) == (1, 1)
    assert buffers.pulled_TD[:20].eq(1).all() and not buffers.pulled_TD[20:].any()
    with pytest.raises(AssertionError):
        run.backward(torch.ones_like(x_TD))
    assert back.times == 1


# --- recorded on a CPU: see ``graphs`` ---------------------------------------------------------------------


@pytest.fixture
def as_graphs(monkeypatch: pytest.MonkeyPatch) -> type[graphs.Graph]:
    for module in (between, packed):
        monkeypatch.setattr(module, "compiled_as_needed", lambda function: function)
    return graphs.stand_in(monkeypatch)


def assert_near(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.slow
def test_a_graph_gives_what_its_layers_give(deep_checkpoint: Path, as_graphs: type[graphs.Graph]) -> None:
    """Of two adapters and the base in turns, shorter and longer ones, gradients added up over micro-batches."""
    model = trained(deep_checkpoint, "cpu", dropout=0.3)
    expected = two_steps(model, graphs=False)
    model.zero_grad()
    assert not as_graphs.all
    assert_near(two_steps(model, graphs=True), expected)
    assert sum(graph.replays for graph in as_graphs.all) == 4 * (1 + 2 * 2)


def test_what_comes_before_a_way_back_leaves_the_memory_of_its_graph(
    deep_checkpoint: Path, as_graphs: type[graphs.Graph]
) -> None:
    model = trained(deep_checkpoint, "cpu")
    one, other = (micro_batch(model, lengths) for lengths in ((24, 17, 9), (9, 30)))
    switch, found = Switch(model), []
    for graphs_on in (False, True):
        model.zero_grad()
        record_training(base_of(model), recorded=True)
        packed._training[base_of(model)].stack.graphs = graphs_on  # type: ignore[union-attr]
        switch.to("one")
        rows = [model(ids_T, packing=packing, fused=True) for ids_T, packing in (one, other)]
        with switch.off(), torch.no_grad():
            rows.append(model(other[0], packing=other[1], fused=True))
        for rows_ND in rows[1::-1]:
            push(rows_ND)
        found.append(
            [*(of.detach() for of in rows), *(w.grad for w in model.parameters() if w.grad is not None)]
        )
    assert_near(found[1], found[0])
    assert sum(graph.replays for graph in as_graphs.all) == 2


@pytest.mark.parametrize("recorded", [False, True], ids=["kernel by kernel", "as graphs"])
def test_gradients_that_stay_with_the_stack_are_given_all_at_once(
    deep_checkpoint: Path, as_graphs: type[graphs.Graph], recorded: bool
) -> None:
    """Those of earlier micro-batches, of any layer, with the last; then they begin anew."""
    model = trained(deep_checkpoint, "cpu")
    expected = held_steps(model, recorded=False)
    assert_near(held_steps(model, True, recorded), expected)
    assert sum(graph.replays for graph in as_graphs.all) == 2 * 3 * 2 * recorded


def test_weights_of_fewer_bits_have_their_gradients_added_up_in_float32(layers: list[Adapted]) -> None:
    for weight in weights_of(layers):
        weight.data = weight.data.bfloat16()
    assert {total.dtype for total in gradients_in(sums_of(layers))} == {torch.bfloat16}
    totals = Stack(kept=True)._totals_of(layers, weights_of(layers))
    assert {total.dtype for total in totals.each} == {torch.float32}
    totals.each[0].fill_(3.0)
    taken = totals.taken()
    assert taken[0].dtype == torch.bfloat16 and taken[0].eq(3.0).all() and not totals.each[0].any()

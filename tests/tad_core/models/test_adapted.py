"""Layers whose backward pass is written out, against those that autograd goes through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from tad_core.config import LoraConfig, ModelConfig
from tad_core.models import between, packed, stack
from tad_core.models.adapted import Adapted, adapted, forward
from tad_core.models.between import Drop, Pieces, dropped
from tad_core.models.layout import Packing, Segments
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of
from tad_core.models.packed import record_training
from tad_core.models.recorded import Stack
from tad_core.models.rows import join_layers
from tad_core.training.adapters import Switch

LENGTHS = (24, 17, 9)


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between, "compiled_as_needed", lambda function: function)
    monkeypatch.setattr(packed, "compiled_as_needed", lambda function: function)


def model_of(
    folder: Path, names: tuple[str, ...] = ("one",), side_by_side: bool = True, **lora: object
) -> PeftModel:
    base = load_model(ModelConfig(path=str(folder)), "cpu")
    if side_by_side:
        join_layers(base)
    model = add_lora(base, LoraConfig(**{"rank": 4, "alpha": 6, "dropout": 0.0, **lora}), 0, names)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=draw)
    record_training(base, recorded=True)
    return model.train()


def inputs(model: PeftModel) -> tuple[Tensor, Packing]:
    draw = torch.Generator().manual_seed(4)
    ids_T = torch.randint(7, 600, (sum(LENGTHS),), generator=draw)
    at_T = torch.cat([torch.arange(n) for n in LENGTHS])
    wanted_N = torch.tensor([3, 8, 23, 24, 40, 41, 45])
    tokens, wanted = (Segments.of(counts, torch.device("cpu")) for counts in (LENGTHS, (3, 2, 2)))
    return ids_T, Packing(at_T, tokens, wanted_N, wanted)


def run(model: PeftModel, fused: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Rows, and the gradients of a sum that tells them apart."""
    ids_T, packing = inputs(model)
    model.zero_grad()
    rows_ND = model(ids_T, packing=packing, fused=fused)
    if rows_ND.requires_grad:
        (rows_ND * torch.linspace(-1, 1, rows_ND.numel()).view_as(rows_ND)).sum().backward()
    return rows_ND.detach(), {n: w.grad for n, w in model.named_parameters() if w.grad is not None}


@pytest.fixture
def written_out(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers were computed so, each time."""
    seen: list[int] = []
    call = Stack.__call__

    def noted(self: Stack, layers: Sequence[Adapted], *rest: Any) -> Tensor:
        seen.append(len(layers))
        return call(self, layers, *rest)

    monkeypatch.setattr(Stack, "__call__", noted)
    return seen


def check(model: PeftModel, seen: list[int]) -> None:
    expected, gradients = run(model, fused=False)
    assert not seen
    found, ours = run(model, fused=True)
    assert seen == [len(list(base_of(model).layers())) - 1]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    assert ours.keys() == gradients.keys() and gradients
    for name, gradient in gradients.items():
        largest = float(gradient.abs().max())
        assert largest > 0, name
        torch.testing.assert_close(ours[name], gradient, atol=2e-5 * largest, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    "roles", [("q", "k", "v", "o", "gate", "up", "down"), ("q", "v"), ("down",), ("k", "o", "up")]
)
def test_rows_and_gradients_are_those_of_autograd(
    deep_checkpoint: Path, roles: tuple[str, ...], written_out: list[Adapted]
) -> None:
    check(model_of(deep_checkpoint, roles=roles), written_out)


def test_also_of_weights_that_do_not_lie_side_by_side(deep_checkpoint: Path, written_out: list[int]) -> None:
    check(model_of(deep_checkpoint, side_by_side=False), written_out)


def test_also_with_layers_computed_again_in_the_backward_pass(
    deep_checkpoint: Path, written_out: list[Adapted]
) -> None:
    model = model_of(deep_checkpoint)
    base_of(model).gradient_checkpointing = True
    check(model, written_out)


def test_of_two_adapters_the_one_that_is_on(deep_checkpoint: Path, written_out: list[int]) -> None:
    model = model_of(deep_checkpoint, ("one", "two"))
    switch = Switch(model)
    for name in ("two", "one"):
        switch.to(name)
        written_out.clear()
        check(model, written_out)
        _, gradients = run(model, fused=True)
        assert all(f".{name}." in path for path in gradients)


def test_the_base_is_read_without_its_adapters_and_without_gradient(
    deep_checkpoint: Path, written_out: list[Adapted]
) -> None:
    model = model_of(deep_checkpoint)
    with Switch(model).off(), torch.no_grad():
        expected, _ = run(model, fused=False)
        found, _ = run(model, fused=True)
    assert written_out
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    with torch.no_grad():
        assert not torch.allclose(run(model, fused=True)[0], expected, atol=1e-3)


def test_what_is_kept_for_the_backward_pass_is_what_only_a_product_could_make_again(
    deep_checkpoint: Path,
) -> None:
    model = model_of(deep_checkpoint)
    ids_T, packing = inputs(model)
    base = base_of(model)
    layer = next(iter(base.layers()))
    x_TD = base.token_embedding()(ids_T)
    cos_TE, sin_TE = base.rotations(packing.at_T, packing.tokens.longest, x_TD.dtype)
    one = adapted(layer.parts(), layer.head_size, x_TD.dtype, cos_TE, sin_TE, packing.tokens, Pieces(False))
    assert one is not None
    with torch.no_grad():
        *_, kept = forward(one, x_TD, None)
    parts = layer.parts()
    width, inner = x_TD.shape[1], parts.gate.out_features
    heads = sum(part.out_features for part in (parts.q, parts.k, parts.v))
    ranks = 7 * 4
    tensors = [tensor for tensor in (*kept[:-2], *kept.low, *kept.attention) if tensor is not None]
    assert sum(tensor.shape[1] for tensor in tensors) == 3 * width + heads + 2 * inner + ranks


def test_nothing_is_written_out_unless_it_is_to_be_recorded(
    deep_checkpoint: Path, written_out: list[int]
) -> None:
    model = model_of(deep_checkpoint)
    expected, gradients = run(model, fused=True)
    assert len(written_out) == 1
    record_training(base_of(model), recorded=False)
    found, others = run(model, fused=True)
    assert len(written_out) == 1 and others.keys() == gradients.keys()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


def test_an_input_that_wants_a_gradient_gets_it(deep_checkpoint: Path, written_out: list[int]) -> None:
    model = model_of(deep_checkpoint)
    ids_T, packing = inputs(model)
    found = []
    for fused in (False, True):
        x_TD = base_of(model).token_embedding()(ids_T).detach().requires_grad_()
        base_of(model).packed(x_TD, packing, fused=fused).square().sum().backward()
        found.append(x_TD.grad)
    assert not written_out and found[0] is not None
    torch.testing.assert_close(found[1], found[0], atol=2e-5 * float(found[0].abs().max()), rtol=1e-4)


def test_a_model_of_one_layer_has_none_to_write_out(deep_checkpoint: Path, written_out: list[int]) -> None:
    model = model_of(deep_checkpoint)
    layers = list(base_of(model).layers())
    base_of(model).layers = lambda: layers[:1]  # type: ignore[method-assign]
    expected, _ = run(model, fused=False)
    found, gradients = run(model, fused=True)
    assert not written_out and len(gradients) == 2 * 7
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_adapters_of_unequal_ranks_and_scales(
    deep_checkpoint: Path, side_by_side: bool, written_out: list[int]
) -> None:
    model = model_of(deep_checkpoint, side_by_side=side_by_side)
    draw = torch.Generator().manual_seed(2)
    for layer in base_of(model).layers():
        for rank, part in enumerate(layer.parts()[1:4], start=2):
            part.update_layer("one", rank, lora_alpha=3, config=model.peft_config["one"])
            nn.init.normal_(part.lora_B["one"].weight, std=0.1, generator=draw)
    check(model, written_out)


class Odd(nn.Linear):
    """A map that is none of torch's own."""


class Masked(nn.Module):
    """Dropout of PEFT's kind that drops what a seed says."""

    def __init__(self, drop: Drop):
        super().__init__()
        self.drop = drop

    def forward(self, x_TD: Tensor) -> Tensor:
        return dropped(x_TD, self.drop)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_dropout_is_that_of_its_seeds(
    deep_checkpoint: Path, checkpointed: bool, written_out: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(deep_checkpoint, dropout=0.25)
    base = base_of(model)
    *layers, last = base.layers()
    base.gradient_checkpointing = checkpointed
    seed_LG = torch.randint(-(2**31), 2**31, (len(layers), 4), dtype=torch.int32)
    monkeypatch.setattr(stack, "drawn", lambda _: seed_LG)

    def groups(layer: nn.Module) -> list[tuple[nn.Module, ...]]:
        parts = layer.parts()
        return [(parts.q, parts.k, parts.v), (parts.o,), (parts.gate, parts.up), (parts.down,)]

    def mask(layer: nn.Module, seed_G: Tensor) -> None:
        for maps, seed in zip(groups(layer), seed_G, strict=True):
            for part in maps:
                part.lora_dropout["one"] = Masked(Drop(0.25, seed))

    mask(last, torch.arange(4, dtype=torch.int32))
    found, ours = run(model, fused=True)
    assert written_out == [len(layers)]
    for layer, seed_G in zip(layers, seed_LG, strict=True):
        mask(layer, seed_G)
    written_out.clear()
    expected, gradients = run(model, fused=False)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    for name, gradient in gradients.items():
        largest = float(gradient.abs().max())
        torch.testing.assert_close(ours[name], gradient, atol=2e-5 * largest, rtol=1e-4, msg=name)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x_TD = torch.ones(400, 512)
    seeds = torch.tensor([3, -4], dtype=torch.int32)
    one, other = (dropped(x_TD, Drop(0.05, seed)) for seed in seeds)
    for found in (one, other):
        assert set(found.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.95))}
        assert abs(float((found == 0).float().mean()) - 0.05) < 0.002  # 4 standard deviations
        rows_T, columns_D = (found == 0).float().mean(1), (found == 0).float().mean(0)
        assert rows_T.max() < 0.11 and columns_D.max() < 0.12 and rows_T.std() < 0.0115
    assert abs(float(((one == 0) & (other == 0)).float().mean()) - 0.05**2) < 0.0005
    torch.testing.assert_close(dropped(x_TD[:7], Drop(0.05, seeds[0])), one[:7])


def test_adapters_that_drop_nothing_in_evaluation_see_everything(
    deep_checkpoint: Path, written_out: list[int]
) -> None:
    model = model_of(deep_checkpoint, dropout=0.5).eval()
    check(model, written_out)


@pytest.mark.parametrize(
    "way", ["unequal dropout", "another kind of map", "merged", "two on", "another dtype"]
)
def test_other_layers_are_left_to_autograd(deep_checkpoint: Path, way: str, written_out: list[int]) -> None:
    model = model_of(deep_checkpoint, ("one", "two"))
    Switch(model).to("one")
    first = next(iter(base_of(model).layers())).parts()
    if way == "unequal dropout":
        first.up.lora_dropout["one"] = nn.Dropout(0.5)
    if way == "another kind of map":
        first.up.base_layer.__class__ = Odd
    if way == "merged":
        first.up.merge(adapter_names=["one"])
    if way == "two on":
        first.up._active_adapter = ["one", "two"]
    if way == "another dtype":
        first.up.base_layer.double()
    if way == "another dtype":
        ids_T, packing = inputs(model)
        with pytest.raises(RuntimeError):  # which says so
            model(ids_T, packing=packing, fused=True)
    else:
        run(model, fused=True)
    assert not written_out


@pytest.mark.parametrize("without", ["the first", "the second"])
def test_a_layer_without_adapters_among_others(
    deep_checkpoint: Path, without: str, written_out: list[int]
) -> None:
    model = model_of(deep_checkpoint)
    layers = list(base_of(model).layers())
    for part in layers[without == "the second"].parts():
        if isinstance(part, LoraLayer):
            part._disable_adapters = True
    check(model, written_out)


def test_dropout_of_a_later_layer_alone_is_drawn(
    deep_checkpoint: Path, written_out: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(deep_checkpoint, dropout=0.25)
    first, _, *others = base_of(model).layers()
    for part in (part for layer in (first, *others) for part in layer.parts()):
        if isinstance(part, LoraLayer):
            part.lora_dropout["one"] = nn.Identity()
    drawn: list[Tensor] = []
    draw = stack.drawn
    monkeypatch.setattr(stack, "drawn", lambda layers: drawn.append(draw(layers)) or drawn[-1])
    one, gradients = run(model, fused=True)
    assert written_out and len(drawn) == 1 and gradients
    monkeypatch.setattr(stack, "drawn", lambda _: drawn[0])
    torch.testing.assert_close(run(model, fused=True)[0], one)
    monkeypatch.setattr(stack, "drawn", draw)
    assert not torch.allclose(run(model, fused=True)[0], one)

"""Maps whose weights lie side by side: one product, and nothing else of the model changes."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tad_core.models import packed
from tad_core.models.base import DiffusionLM
from tad_core.models.dream import DreamModel
from tad_core.models.joined import join, joined
from tad_core.models.layout import Packing, Segments
from tad_core.models.llada import LLaDAModelLM
from tad_core.models.rows import Rows, join_layers, of_down
from tests.tad_core.decoding.test_ahead import MODELS
from tests.tad_core.models.products import Products


def maps(*outputs: int, bias: bool = False) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(8, n, bias=bias) for n in outputs]


@pytest.mark.parametrize("bias", [False, True])
def test_joined_maps_give_what_each_gives(bias: bool) -> None:
    own = maps(4, 6, 2, bias=bias)
    x_TD = torch.randn(5, 8)
    before = [a_map(x_TD) for a_map in own]
    assert joined(own) is None
    join(own)
    whole = joined(own)
    assert whole is not None and whole.weight_OD.shape == (12, 8)
    assert whole.weight_OD.data_ptr() == own[0].weight.data_ptr()
    assert joined(own[1:]).weight_OD.shape == (8, 8)
    assert joined([own[0], own[2]]) is None, "another lies between"
    for a_map, y, alone in zip(own, whole.split(x_TD), before, strict=True):
        torch.testing.assert_close(y, alone)
        assert torch.equal(a_map(x_TD), alone)


def test_what_is_changed_in_place_is_changed_in_both() -> None:
    own = maps(4, 4)
    join(own)
    with torch.no_grad():
        own[1].weight += 1
    torch.testing.assert_close(joined(own).split(torch.ones(1, 8))[1], own[1](torch.ones(1, 8)))


def test_beside_a_map_that_was_moved_the_others_stay_where_they_are() -> None:
    own = maps(4, 4)
    join(own)
    own[1].weight = nn.Parameter(own[1].weight.detach().clone())
    places = [a_map.weight.data_ptr() for a_map in own]
    assert joined(own) is None
    join(own)
    assert [a_map.weight.data_ptr() for a_map in own] == places, "a graph may read them there"


def test_maps_that_are_not_alike_are_left_alone() -> None:
    mixed = [nn.Linear(8, 4), nn.Linear(8, 4, bias=False)]
    weights = [a_map.weight.data_ptr() for a_map in mixed]
    join(mixed)
    assert joined(mixed) is None and [a_map.weight.data_ptr() for a_map in mixed] == weights


def test_what_was_made_under_inference_mode_stays_where_it_is() -> None:
    with torch.inference_mode():
        own = maps(4, 4)
        join(own)
    assert joined(own) is None


@pytest.mark.parametrize("family", MODELS)
def test_a_joined_model_is_saved_merged_and_trained_as_before(family: str, tmp_path) -> None:
    model, plain = MODELS[family](), MODELS[family]()
    with torch.inference_mode():
        join_layers(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    model.save_pretrained(tmp_path)
    kind: type[DiffusionLM] = {"llada": LLaDAModelLM, "dream": DreamModel}[family]
    again = kind.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), plain.parameters(), strict=True))
    first = next(iter(plain.layers())).parts()
    names = [name.rsplit(".", 1)[-1] for name, a_map in plain.named_modules() if a_map in (first.q, first.up)]
    merged = []
    for base in (model, plain):
        torch.manual_seed(1)
        config = LoraConfig(r=2, target_modules=names, init_lora_weights=False)
        adapted = get_peft_model(base, config)
        parts = next(iter(base.layers())).parts()
        assert joined((parts.q, parts.k, parts.v)) is None, "an adapter is a map of its own"
        adapted(torch.tensor([[3, 4]])).sum().backward()
        merged.append(adapted.merge_and_unload())
    for a, b in zip(*(one.parameters() for one in merged), strict=True):
        assert torch.equal(a, b)
    parts = next(iter(merged[0].layers())).parts()
    assert joined((parts.q, parts.k, parts.v)) is not None


@pytest.mark.parametrize("more", [0, 5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("family", MODELS)
def test_kernels_of_decoding_give_what_plain_ones_give(
    family: str, bias: bool, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS[family]()
    if bias:  # then the last map is not added in place
        for layer in model.layers():
            layer.parts().down.bias = nn.Parameter(torch.randn(layer.parts().down.out_features))
    ids_T = torch.randint(3, 20, (9,))
    own, wanted = (Segments.of(counts, ids_T.device) for counts in ([5, 4], [2, 1]))
    at_T = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3])
    packing = Packing(at_T, own, torch.tensor([1, 4, 8]), wanted)

    class Fewest:
        def first(self, numbers):
            return next(iter(numbers)) + more

    monkeypatch.setattr(packed, "compiled", lambda function, axes: function)
    monkeypatch.setattr(packed, "of_down", lambda model: Fewest())
    monkeypatch.setattr(packed, "DOWN_STEP", 1)
    with torch.inference_mode():
        plain_ND = model.packed(ids_T, packing)
        apart_ND = model.packed(ids_T, packing, fused=True)
        join_layers(model)
        monkeypatch.setattr(Rows, "at", lambda self, rows: True)  # rounding apart
        joined_ND = model.packed(ids_T, packing, fused=True)
    torch.testing.assert_close(apart_ND, plain_ND)
    torch.testing.assert_close(joined_ND, plain_ND)


def test_the_last_map_is_tried_as_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["llada"]()
    monkeypatch.setattr(packed, "compiled", lambda function, axes: function)
    whole, at_T = Segments.of([3], torch.device("cpu")), torch.arange(3)
    with torch.inference_mode(), Products() as computed:
        model.packed(3 + at_T, Packing(at_T, whole, at_T, whole), fused=True)
    (product,) = of_down(model)._products
    with torch.inference_mode(), Products() as tried:
        product.run(torch.ones(2, product.inputs))
    assert tried.seen == computed.seen[-1:] != []

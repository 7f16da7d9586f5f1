"""The base in 8-bit floats: rows and their scales, what maps give and pull back, and layers with adapters on them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.models import DreamConfig, DreamModel, LLaDAConfig, LLaDAModelLM, between, float8, packed
from tad_core.models.base import DiffusionLM
from tad_core.models.float8 import Linear8, Maps8, Scaled, maps8_of, product, quantize, scaled
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, save_adapter, weights_of
from tad_core.models.packed import record_training
from tests.tad_core.models.steps import micro_batch, push

DRY = LoraConfig(rank=4, alpha=6, dropout=0.0)
ROLES = ("q", "k", "v", "o", "gate", "up", "down")


def rows(of: Scaled) -> Tensor:
    return of.values_NK.float() * of.scale_N1


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


# --- rows and products ----------------------------------------------------------------------------------


def test_the_largest_number_of_a_row_is_the_largest_there_is() -> None:
    x_NK = torch.tensor([[448.0, -224.0, 0.0, 1.0], [-1792.0, 4.0, 17.0, 18.0], [7e-20, 0.0, 0.0, -3.5e-20]])
    found = scaled(x_NK)
    assert found.values_NK.dtype == torch.float8_e4m3fn
    # 17 / 4 lies halfway between 4 and 4.5, and the even one of them is taken; 18 / 4 is one itself.
    expected = [[448.0, -224.0, 0.0, 1.0], [-448.0, 1.0, 4.0, 4.5], [448.0, 0.0, 0.0, -224.0]]
    assert found.values_NK.float().tolist() == expected
    assert found.scale_N1.flatten().tolist() == pytest.approx([1.0, 4.0, 7e-20 / 448])


def test_zeros_stay_zeros_and_what_is_not_finite_stays_so() -> None:
    x_NK = torch.zeros(3, 16)
    x_NK[1, 3], x_NK[2, 4] = torch.nan, -torch.inf
    found = scaled(x_NK)
    assert rows(found)[0].tolist() == [0.0] * 16 and found.scale_N1[0] > 0
    assert product(found, scaled(torch.ones(2, 16)), torch.float32).isfinite().tolist() == [
        [True, True],
        [False, False],
        [False, False],
    ]


def test_a_number_is_off_by_a_sixteenth_at_most() -> None:
    x_NK = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
    found = rows(scaled(x_NK))
    normal = x_NK.abs() >= x_NK.abs().amax(1, keepdim=True) / 448 / 64  # below, steps are those of zero
    assert ((found - x_NK).abs() <= x_NK.abs() / 16 * 1.001)[normal].all()
    assert 0.02 < apart(found, x_NK) < 0.03


def maps_of(*outputs: int, bias: bool = False) -> tuple[list[nn.Linear], Maps8]:
    torch.manual_seed(1)
    linears = [nn.Linear(32, n, bias=bias) for n in outputs]
    return linears, Maps8.of(linears)


@pytest.mark.parametrize("bias", [False, True])
def test_maps_of_one_input_are_products_of_rounded_rows_and_weights(bias: bool) -> None:
    linears, maps = maps_of(48, 16, 16, bias=bias)
    x_TD, dy_TO = torch.randn(5, 32), torch.randn(5, 80)
    bias_O = torch.cat([of.bias for of in linears]) if bias else None
    expected = F.linear(rows(scaled(x_TD)), rows(maps.forth), bias_O)
    torch.testing.assert_close(maps(x_TD), expected)
    torch.testing.assert_close(maps.pull(dy_TO), rows(scaled(dy_TO)) @ rows(maps.back).t())
    weight_OD = torch.cat([of.weight for of in linears])
    # Each direction has scales of its own: for rows of outputs, and for rows of inputs.
    torch.testing.assert_close(rows(maps.forth), rows(scaled(weight_OD)))
    torch.testing.assert_close(rows(maps.back), rows(scaled(weight_OD.t())))


def test_one_of_them_gives_its_part() -> None:
    _, maps = maps_of(48, 16, 32, bias=True)
    x_TD, dy_TO = torch.randn(5, 32), torch.randn(5, 96)
    for place, among in enumerate((slice(0, 48), slice(48, 64), slice(64, 96))):
        one = maps.one(place)
        assert one.outputs == (maps.outputs[place],)
        torch.testing.assert_close(one(x_TD), maps(x_TD)[:, among])
        expected = rows(scaled(dy_TO[:, among])) @ rows(maps.back)[:, among].t()
        torch.testing.assert_close(one.pull(dy_TO[:, among]), expected)


def test_maps_are_one_where_all_of_them_are_there_in_order() -> None:
    linears, maps = maps_of(16, 16)
    q, k = (Linear8(maps, place, like) for place, like in enumerate(linears))
    assert maps8_of((q, k)) is maps
    assert maps8_of((q,)) is maps8_of((k, q)) is maps8_of((q, linears[1])) is maps8_of(linears) is None
    other = Linear8(maps_of(16, 16)[1], 1, linears[1])
    assert maps8_of((q, other)) is None


@pytest.mark.parametrize("shape", [(3, 32), (2, 5, 32)])
def test_a_map_by_itself_has_the_gradient_of_its_rounded_weights(shape: tuple[int, ...]) -> None:
    linears, maps = maps_of(16, 48)
    module = Linear8(maps, 1, linears[1])
    assert (module.in_features, module.out_features) == (32, 48)
    x = torch.randn(shape, requires_grad=True)
    y, push_back = module(x), torch.randn(*shape[:-1], 48)
    torch.testing.assert_close(y.flatten(0, -2), maps.one(1)(x.detach().flatten(0, -2)))
    y.backward(push_back)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.flatten(0, -2), maps.one(1).pull(push_back.flatten(0, -2)))


def test_under_autocast_it_gives_what_a_linear_map_gives() -> None:
    linears, maps = maps_of(16)
    module = Linear8(maps, 0, linears[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = module(torch.randn(3, 32)), linears[0](torch.randn(3, 32))
    assert ours.dtype == theirs.dtype == torch.bfloat16


# --- a model --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between, "compiled_as_needed", lambda function: function)
    monkeypatch.setattr(packed, "compiled_as_needed", lambda function: function)


@pytest.fixture
def bases(deep_checkpoint: Path) -> tuple[DiffusionLM, DiffusionLM]:
    """The same base as it is and in 8-bit floats."""
    whole = load_model(ModelConfig(path=str(deep_checkpoint)), "cpu")
    rounded = copy.deepcopy(whole)
    quantize(rounded)
    return whole, rounded


def test_all_layers_but_the_last_are_rounded_and_nothing_else(
    bases: tuple[DiffusionLM, DiffusionLM],
) -> None:
    whole, rounded = bases
    *layers, last = rounded.layers()
    for layer in layers:
        assert all(type(getattr(layer.parts(), role)) is Linear8 for role in ROLES)
    assert all(type(getattr(last.parts(), role)) is nn.Linear for role in ROLES)
    kept = dict(rounded.named_parameters())
    for name, weight in whole.named_parameters():
        if kept.get(name) is not None and kept[name].numel():
            assert torch.equal(kept[name], weight), name
    assert type(rounded.output_head()) is nn.Linear
    assert rounded.dtype == whole.dtype


def trained_on(base: DiffusionLM) -> tuple[Tensor, dict[str, Tensor]]:
    """Rows of a micro-batch by layers that are written out, and gradients of the adapter's weights."""
    model = add_lora(base, DRY, 0).train()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=draw)
    return run(model, True)


def run(model: nn.Module, fused: bool) -> tuple[Tensor, dict[str, Tensor]]:
    record_training(base_of(model), recorded=True)
    model.zero_grad()
    ids_T, packing = micro_batch(model, (24, 17, 9))  # type: ignore[arg-type]
    rows_ND = model(ids_T, packing=packing, fused=fused)
    push(rows_ND)
    return rows_ND.detach(), {n: w.grad for n, w in model.named_parameters() if w.grad is not None}


def test_rows_and_gradients_are_near_those_of_the_base_as_it_is(
    bases: tuple[DiffusionLM, DiffusionLM],
) -> None:
    (expected, gradients), (found, ours) = (trained_on(base) for base in bases)
    assert 1e-3 < apart(found, expected) < 0.2
    assert ours.keys() == gradients.keys() and len(ours) == 2 * len(ROLES) * 4
    whole, rounded = (torch.cat([g.flatten() for g in of.values()]) for of in (gradients, ours))
    assert float(F.cosine_similarity(whole, rounded, dim=0)) > 0.97


def test_layers_written_out_are_those_of_autograd(bases: tuple[DiffusionLM, DiffusionLM]) -> None:
    """The same rows; gradients of maps of one input are rounded together in one and apart in the other."""
    model = add_lora(bases[1], DRY, 0).train()
    with torch.no_grad():
        for weight in weights_of(model, "default"):
            weight.normal_(std=0.1)
    (expected, gradients), (found, ours) = run(model, False), run(model, True)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    for name, gradient in gradients.items():
        assert apart(ours[name], gradient) < 0.1, name


def test_grouped_heads_and_biases_of_dream_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
    whole = DreamModel(DreamConfig(num_hidden_layers=3, vocab_size=600, **sizes, **IDS)).eval()
    biases = [weight for name, weight in whole.named_parameters() if name.endswith("bias")]
    with torch.no_grad():
        for bias in biases:
            bias.normal_(std=0.1)
    rounded = copy.deepcopy(whole)
    quantize(rounded)
    model = add_lora(rounded, DRY, 0).train()
    (_, gradients), (expected, _) = run(add_lora(whole, DRY, 0).train(), True), run(model, False)
    found, ours = run(model, True)
    assert len(biases) == 3 * 3
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    both = (torch.cat([g.flatten() for g in of.values()]) for of in (gradients, ours))
    assert float(F.cosine_similarity(*both, dim=0)) > 0.97


def test_adapters_on_it_are_float32_and_saved_as_any_other(
    bases: tuple[DiffusionLM, DiffusionLM], tmp_path: Path
) -> None:
    files = []
    for i, base in enumerate(bases):
        model = add_lora(base, DRY, 0)
        assert {weight.dtype for weight in weights_of(model, "default")} == {torch.float32}
        save_adapter(model, tmp_path / str(i))
        files.append((tmp_path / str(i) / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1]


# --- what is refused ------------------------------------------------------------------------------------

IDS = {"mask_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"d_model": 72, "mlp_hidden_size": 64}, "q_proj has rows of 72 weights"),
        ({"d_model": 64, "mlp_hidden_size": 72}, "ff_proj has columns of 72 weights"),
    ],
)
def test_sides_that_are_no_multiples_of_16_are_refused(changes: dict[str, int], told: str) -> None:
    model = LLaDAModelLM(LLaDAConfig(n_heads=2, n_layers=2, vocab_size=50, **changes, **IDS))
    with pytest.raises(
        ModelError, match=rf"distill.quantize: .*{told}, and fp8 needs a multiple of 16; set none"
    ):
        quantize(model)


def test_a_gpu_without_such_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: ["NVIDIA A100", "NVIDIA H100"][index])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: [(8, 0), (9, 0)][index])
    for device in ("cpu", "cuda:1", "cuda:2"):  # of one that is not there others say so
        float8.check_gpu(device)
    with pytest.raises(
        ModelError, match=r"distill.quantize: fp8 needs .* 8.9 .*, and NVIDIA A100 has 8.0; set none"
    ):
        float8.check_gpu("auto")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 9))
    float8.check_gpu("cuda:0")
    monkeypatch.delattr(F, "scaled_mm")
    with pytest.raises(ModelError, match=r"distill.quantize: fp8 on a GPU needs torch 2.10"):
        float8.check_gpu("cuda:0")


def test_a_family_of_other_parts_is_refused() -> None:
    class Other(DiffusionLM):
        config_class = LLaDAConfig

    with pytest.raises(ModelError, match=r"distill.quantize: fp8 does not know the layers of Other"):
        quantize(
            Other(LLaDAConfig(d_model=64, n_heads=2, n_layers=1, mlp_hidden_size=64, vocab_size=50, **IDS))
        )

"""A distilled model is decoded at the base's own cost, and answers as the adapter beside the weights does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.evaluation import generate
from tad_core.evaluation.generate import load_for_inference
from tad_core.models.base import ROLES
from tad_core.models.export import export_merged
from tad_core.models.joined import joined
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, load_adapter, save_adapter
from tad_core.models.merge import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Merge, merge_into, merged_beside
from tad_core.models.rows import join_layers
from tests.tad_core.models.adapters import make_adapter
from tests.tad_core.models.products import Products

IDS = torch.tensor([[2, 30, 1, 1, 41, 52, 9, 11]])


def products(model: Any) -> Counter[torch.dtype]:
    with torch.inference_mode(False), torch.no_grad(), Products() as counted:
        model(IDS)
    return Counter(dtype for _, dtype in counted.seen)


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def base(request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(path=str(request.getfixturevalue(request.param)), device="cpu", dtype="bfloat16")


@pytest.fixture
def adapter(base: ModelConfig, tmp_path: Path) -> Path:
    model = add_lora(
        load_model(base.model_copy(update={"dtype": "float32"})),
        LoraConfig(rank=4, alpha=8, dropout=0.0),
        seed=3,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    save_adapter(model, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_distilled_model_has_the_matrix_products_of_its_base_in_its_dtype(
    base: ModelConfig, adapter: Path
) -> None:
    own = products(load_model(base))
    assert set(own) == {torch.bfloat16}
    assert products(load_for_inference(base, adapter)) == own
    beside = products(base_of(load_adapter(load_model(base), adapter)))
    assert beside[torch.float32] > own[torch.bfloat16]  # what was decoded before


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_it_answers_as_the_adapter_beside_the_weights(
    base: ModelConfig, adapter: Path, dtype: str, bound: float
) -> None:
    base = base.model_copy(update={"dtype": dtype})
    with torch.no_grad():
        merged = load_for_inference(base, adapter)(IDS).float()
        beside = base_of(load_adapter(load_model(base), adapter))(IDS).float()
        plain = load_model(base)(IDS).float()
    away = (beside - plain).norm()
    assert (merged - beside).norm() / beside.norm() < bound < away / beside.norm()


def test_what_is_evaluated_is_what_is_exported_and_the_files_stay_as_they_are(
    base: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    """The files are float32 here: an export that rounded once where the run rounds twice would differ in last bits."""
    files = {file: file.read_bytes() for folder in (Path(base.path), adapter) for file in folder.iterdir()}
    evaluated = load_for_inference(base, adapter).state_dict()
    exported = load_file(
        export_merged(base, adapter, tmp_path / "out", "card", "bfloat16") / "model.safetensors"
    )
    assert evaluated.keys() == exported.keys()
    assert [name for name, value in exported.items() if not torch.equal(value, evaluated[name])] == []
    assert {file: file.read_bytes() for file in files} == files


def renamed(adapter: Path) -> None:
    weights = load_file(adapter / ADAPTER_WEIGHTS)
    save_file(
        {name.replace(".0.", ".7."): value for name, value in weights.items()}, adapter / ADAPTER_WEIGHTS
    )


def cut(factor: str, dim: int) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        weights = load_file(adapter / ADAPTER_WEIGHTS)
        shorter = {name: value.narrow(dim, 0, 3).contiguous() if factor in name else value
                   for name, value in weights.items()}  # fmt: skip
        save_file(shorter, adapter / ADAPTER_WEIGHTS)

    return change


def without(part: str) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        weights = load_file(adapter / ADAPTER_WEIGHTS)
        save_file(
            {name: value for name, value in weights.items() if part not in name}, adapter / ADAPTER_WEIGHTS
        )

    return change


def settings(**changes: Any) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        file = adapter / ADAPTER_CONFIG
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (renamed, r"adapts .*\.7\..*, which .* does not have; use the base it was trained on"),
        (cut("lora_B", 0), r"has \[3, 4\] x \[4, \d+\] for .*, which is \[\d+, \d+\] in .*; use the base"),
        (cut("lora_A", 1), r"has \[\d+, 4\] x \[4, 3\] for .*, which is \[\d+, \d+\] in"),
        (cut("lora_A", 0), r"has \[\d+, 4\] x \[3, \d+\] for"),
        (without("lora_B"), "is damaged: .* does not have lora_A and lora_B alone"),
        (lambda a: (a / ADAPTER_WEIGHTS).write_bytes(b"no weights"), "cannot be read as safetensors"),
        (lambda a: (a / ADAPTER_WEIGHTS).rename(a / "adapter_model.bin"),
         r"no adapter_model\.safetensors; adapter_model\.bin is not read, .*: have PEFT load it and save_"),
        (lambda a: (a / ADAPTER_CONFIG).write_text("{"), r"adapter_config\.json cannot be read"),
        (lambda a: (a / ADAPTER_CONFIG).write_text("[]"), "holds no mapping"),
        (settings(r=0), "has r 0; it is a number above 0"),
        (settings(lora_alpha=None), "has lora_alpha None"),
    ],
)  # fmt: skip
def test_an_adapter_that_is_damaged_or_of_another_base_is_refused_before_any_weight_is_read(
    base: ModelConfig, adapter: Path, fault: Callable[[Path], Any], message: str, monkeypatch, tmp_path: Path
) -> None:
    fault(adapter)
    monkeypatch.setattr(generate, "load_model", lambda model: pytest.fail("the base was loaded"))
    with pytest.raises(ModelError, match=message):
        load_for_inference(base, adapter)
    with pytest.raises(ModelError, match=message):
        export_merged(base, adapter, tmp_path / "out", "card", "bfloat16")


def test_a_merge_that_is_refused_leaves_the_model_as_it_was(base: ModelConfig, adapter: Path) -> None:
    model = load_model(base)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cut("lora_B", 0)(adapter)
    with pytest.raises(ModelError, match=f"in {type(model).__name__}"):
        merge_into(model, Merge(adapter))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_on_a_gpu_what_several_models_share_stays_where_graphs_of_any_of_them_read_it(
    base: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges = [
        Merge(make_adapter(base, tmp_path / "-".join(roles), roles)) for roles in (["gate"], ["up"], ROLES)
    ]
    model = load_model(base)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    others = [merged_beside(model, merge) for merge in merges]
    places = [weight.data_ptr() for weight in model.parameters()]
    for one in (*others, model):  # the base is the last to be decoded with
        join_layers(one)
        assert places == [weight.data_ptr() for weight in model.parameters()]
    parts = [next(iter(one.layers())).parts() for one in (*others, model)]
    assert parts[0].up is not parts[3].up and parts[0].up.weight is parts[3].up.weight
    assert parts[2].q.weight is not parts[3].q.weight and parts[2].q.bias is parts[3].q.bias
    assert all(joined((of.q, of.k, of.v)) is not None for of in parts)
    assert [joined((of.gate, of.up)) is not None for of in parts] == [False, False, True, True]

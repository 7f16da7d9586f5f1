"""A distilled model is decoded at the base's own cost, and answers as the adapter beside the weights does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.evaluation.generate import load_for_inference
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, load_adapter, save_adapter
from tad_core.models.merge import ADAPTER_WEIGHTS, merge_into

IDS = torch.tensor([[2, 30, 1, 1, 41, 52, 9, 11]])
PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default}


class Products(TorchDispatchMode):
    """Counts the matrix products of a forward by dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[torch.dtype] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            self.seen[args[-1].dtype] += 1
        return func(*args, **(kwargs or {}))


def products(model: Any) -> Counter[torch.dtype]:
    with torch.inference_mode(False), torch.no_grad(), Products() as counted:
        model(IDS)
    return counted.seen


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


def test_an_adapter_of_another_base_is_refused(base: ModelConfig, adapter: Path) -> None:
    weights = load_file(adapter / ADAPTER_WEIGHTS)
    strange = {name.replace(".0.", ".7."): value for name, value in weights.items()}
    save_file(strange, adapter / ADAPTER_WEIGHTS)
    with pytest.raises(ModelError, match=r"adapts .*\.7\..*, which this model does not have"):
        merge_into(load_model(base), adapter)

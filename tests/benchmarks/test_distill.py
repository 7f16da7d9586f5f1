"""What the benchmark of distillation compares is the same training."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tad_core.config import DistillConfig, LoraConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def distill() -> ModuleType:
    """The script, which finds what it is made of beside it."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("distill")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def setting(distill: ModuleType) -> Any:
    """Two layers, responses of 32 tokens, prompts of many lengths."""
    torch.manual_seed(0)
    config = LLaDAConfig(
        d_model=32,
        n_heads=2,
        n_layers=2,
        mlp_hidden_size=64,
        vocab_size=40,
        mask_token_id=38,
        eos_token_id=39,
    )
    model = LLaDAModelLM(config).eval()
    settings = DistillConfig(
        states_per_trajectory=8, max_steps=2, global_batch_size=8, micro_batch_size=4, log_steps=2,
        lora=LoraConfig(rank=2, alpha=2, dropout=0.0),
    )  # fmt: skip
    table = distill.made_up_table(4, 32, 30, range(3, 9), range(3, 9))
    return distill.Setting(model, torch.device("cpu"), table, settings)


def test_every_way_trains_the_same_states_on_the_same_base(distill: ModuleType, setting: Any) -> None:
    before = {name: weight.clone() for name, weight in setting.model.state_dict().items()}
    losses = [
        distill.plain(setting).loss,
        distill.ours(setting).loss,
        distill.ours(setting, ("quality", "speed")).loss,
        distill.ours(setting, checkpointed=True).loss,
        distill.ours(setting, without="order by length").loss,
    ]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-5)
    after = setting.model.state_dict()  # and leaves the base to the next as it was
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)

"""What the benchmark of distillation compares is the same training."""

from __future__ import annotations

import pytest
import torch

from benchmarks.distill import Setting, made_up_table, ours, plain
from tad_core.config import DistillConfig, LoraConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM


@pytest.fixture
def setting() -> Setting:
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
    table = made_up_table(4, 32, 30, range(3, 9), range(3, 9))
    return Setting(model, torch.device("cpu"), table, settings)


def test_every_way_trains_the_same_states_on_the_same_base(setting: Setting) -> None:
    before = {name: weight.clone() for name, weight in setting.model.state_dict().items()}
    losses = [
        plain(setting)[1],
        ours(setting)[1],
        ours(setting, ("quality", "speed"))[1],
        ours(setting, checkpointed=True)[1],
        ours(setting, without="order by length")[1],
    ]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-5)
    after = setting.model.state_dict()  # and leaves the base to the next as it was
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)

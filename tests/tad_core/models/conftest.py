from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tad_core.config import ModelConfig
from tad_core.models.loading import load_model
from tests.tad_core.models.adapters import make_adapter


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def base(request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(path=str(request.getfixturevalue(request.param)), device="cpu")


@pytest.fixture
def adapter(base: ModelConfig, tmp_path: Path) -> Path:
    return make_adapter(base, tmp_path / "adapter")


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def deep_checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The small ones with 4 layers, so that there are first, middle and last ones."""
    folder = request.getfixturevalue(request.param)
    small = load_model(ModelConfig(path=str(folder)), "cpu")
    name = "n_layers" if hasattr(small.config, "n_layers") else "num_hidden_layers"
    config = type(small.config)(**{**small.config.to_dict(), name: 4})
    torch.manual_seed(2)
    deep = type(small)(config)
    with torch.no_grad():
        for parameter in deep.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    shutil.copytree(folder, tmp_path / "deep")
    deep.save_pretrained(tmp_path / "deep")
    return tmp_path / "deep"

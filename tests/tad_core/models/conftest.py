from __future__ import annotations

from pathlib import Path

import pytest

from tad_core.config import ModelConfig
from tests.tad_core.models.adapters import make_adapter


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def base(request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(path=str(request.getfixturevalue(request.param)), device="cpu")


@pytest.fixture
def adapter(base: ModelConfig, tmp_path: Path) -> Path:
    return make_adapter(base, tmp_path / "adapter")

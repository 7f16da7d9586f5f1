"""The small model that the project ships, and samples that share a forward, for the tests of decoding."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tad_core.config import ModelConfig, SourceConfig
from tad_core.data.prompts import student_prompt
from tad_core.data.sources import load_source
from tad_core.models.loading import load_model, load_tokenizer

SHIPPED = Path(__file__).parents[3] / "assets" / "tiny-llada"


@pytest.fixture(scope="module")
def shipped():
    """The model of assets/ and two prompts of different length, three steps each."""
    config = ModelConfig(path=str(SHIPPED))
    source = SourceConfig(
        name="arithmetic",
        source="arithmetic",
        count=2,
        split="heldout",
        options={"min_steps": 3, "max_steps": 3},
    )
    tokenizer = load_tokenizer(config)
    return load_model(config, "cpu"), [student_prompt(tokenizer, problem) for problem in load_source(source)]


@pytest.fixture(scope="module", params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def sharp(request):
    """A small model of large weights, whose tokens change with little of what it sees."""
    loaded = copy.deepcopy(load_model(ModelConfig(path=str(request.getfixturevalue(request.param))), "cpu"))
    with torch.no_grad():
        for parameter in loaded.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    return loaded


@pytest.fixture
def together(monkeypatch):
    """Samples share a forward as on an accelerator, with windows at different offsets."""
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)

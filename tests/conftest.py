"""Shared fixtures: a random small checkpoint with the real tokenizer, and a configuration that runs in seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaDA of a few thousand random weights with the shipped tokenizer's vocabulary."""
    import torch

    from tad_core.data.tokenizer import build_tokenizer
    from tad_core.models import LLaDAConfig, LLaDAModelLM

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = LLaDAModelLM(
        LLaDAConfig(
            d_model=32,
            n_heads=2,
            n_layers=2,
            mlp_hidden_size=48,
            vocab_size=len(tokenizer),
            max_sequence_length=512,
            rope_theta=10_000.0,
            mask_token_id=tokenizer.mask_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # Larger than the initial 0.02: the logits then differ enough for greedy choices to mean something.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    folder = tmp_path_factory.mktemp("tiny") / "llada"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tree(tiny_checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    """A whole configuration as a plain tree; tests change what they need and parse it."""
    return {
        "name": "tiny",
        "store": str(tmp_path / "store"),
        "model": {"path": str(tiny_checkpoint), "device": "cpu", "threads": 1},
        "data": [
            {"name": "sums", "source": "arithmetic", "count": 5, "options": {"min_steps": 1, "max_steps": 2}},
            {"name": "funcs", "source": "pyfunc", "count": 3, "options": {"min_steps": 1, "max_steps": 2}},
        ],
        "rollout": {"response_length": 16, "block_length": 8, "shard_size": 3, "batch_size": 4},
        "filter": {"workers": 1},
        "calibrate": {"states": 8, "quality_window": 4, "speed_window": 8},
        "distill": {
            "states_per_trajectory": 4,
            "max_steps": 2,
            "global_batch_size": 4,
            "micro_batch_size": 2,
            "learning_rate": 1.0e-3,
            "lora": {"rank": 2, "alpha": 2, "dropout": 0.0},
        },
        "evaluate": {
            "tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 3}],
            "thresholds": [0.5],
            "decode": {"block_length": 8},
            "bootstrap": 20,
        },
    }


@pytest.fixture
def tiny_config(tiny_tree: dict[str, Any]) -> Any:
    """The parsed ``tiny_tree``."""
    from tad_core.config import parse_config

    return parse_config(tiny_tree)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests share two cores; more threads a test only make them slower."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def prefect_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect of the tests' own, in this process: database and records in temporary folders."""
    from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    records = tmp_path_factory.mktemp("records")
    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_RESULTS_LOCAL_STORAGE_PATH: records}),
    ):
        yield

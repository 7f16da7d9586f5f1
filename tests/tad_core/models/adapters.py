"""Adapters of the small checkpoints that change what they decode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tad_core.config import LoraConfig, ModelConfig
from tad_core.models.base import ROLES
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, save_adapter


def make_adapter(base: ModelConfig, folder: Path, roles: Sequence[str] = ROLES) -> Path:
    """One of rank 4 with weights that are not zero, saved in ``folder``."""
    model = add_lora(load_model(base), LoraConfig(rank=4, alpha=8, dropout=0.0, roles=list(roles)), seed=3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    save_adapter(model, folder)
    return folder

"""LoRA on the projections of every layer, named by role so that each family maps them itself."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn

from tad_core.config import LoraConfig
from tad_core.errors import ModelError
from tad_core.models.base import DiffusionLM


def add_lora(model: DiffusionLM, lora: LoraConfig, seed: int) -> PeftModel:
    """Freeze the base and wrap the chosen projections; the adapters start as the identity.

    Raises:
        ModelError: if the family has no projection for a role.
    """
    if missing := [role for role in lora.roles if role not in model.role_patterns]:
        raise ModelError(f"distill.lora.roles: {type(model).__name__} has no {missing[0]}")
    pattern = "|".join(f"(?:{model.role_patterns[role]})" for role in lora.roles)
    torch.manual_seed(seed)
    return get_peft_model(
        model,
        PeftLoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, bias="none", target_modules=pattern
        ),
    )


def save_adapter(model: PeftModel, folder: str | Path) -> None:
    """Write the adapter in PEFT's own format."""
    model.save_pretrained(str(folder), safe_serialization=True)


def load_adapter(model: DiffusionLM, folder: str | Path) -> PeftModel:
    """Put a saved adapter on a base model, frozen, in eval mode."""
    if not (Path(folder) / "adapter_config.json").is_file():
        raise ModelError(f"adapter: {folder} has no adapter_config.json; it is not an adapter")
    return PeftModel.from_pretrained(model, str(folder)).eval()


def base_of(model: nn.Module) -> DiffusionLM:
    """The DiffusionLM inside; PEFT wraps its linear layers in place, so it runs with the adapter."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    return cast(DiffusionLM, inner)


def adapter_off(model: PeftModel) -> AbstractContextManager[None]:
    """The same weights without the adapter: the teacher."""
    return cast("AbstractContextManager[None]", model.disable_adapter())

"""LoRA on the projections of every layer, named by role so that each family maps them itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn

from tad_core.config import LoraConfig
from tad_core.errors import ModelError
from tad_core.models.base import DiffusionLM

#: what PEFT calls an adapter that is alone
ALONE = "default"


def inside(name: str) -> str:
    """What PEFT calls the adapter of a model of this name: it looks for that in the paths of weights, and so it must be
    no part of the network's, which a model may be called like (``blocks``, ``weight``)."""
    return f"{name}-adapter"


def add_lora(model: DiffusionLM, lora: LoraConfig, seed: int, names: Sequence[str] = (ALONE,)) -> PeftModel:
    """Freeze the base and wrap the chosen projections; the adapters start as the identity.

    The weights of an adapter are float32 whatever dtype the base has, so that small updates are not rounded away.

    Args:
        model: the base.
        lora: shape of each adapter.
        seed: each starts with the weights that it would have alone.
        names: of the adapters; the first is active, and all are trainable.

    Raises:
        ModelError: if the family has no projection for a role.
    """
    if missing := [role for role in lora.roles if role not in model.role_patterns]:
        raise ModelError(
            f"distill.lora.roles: {type(model).__name__} has no {missing[0]}; use {', '.join(model.role_patterns)}"
        )
    pattern = "|".join(f"(?:{model.role_patterns[role]})" for role in lora.roles)
    config = PeftLoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, bias="none", target_modules=pattern
    )
    first, *others = names
    torch.manual_seed(seed)
    adapted = get_peft_model(model, config, adapter_name=first)
    for name in others:
        torch.manual_seed(seed)
        adapted.add_adapter(name, config)
    for weight in (w for name in names for w in weights_of(adapted, name)):
        weight.requires_grad_()  # PEFT leaves that to the active one
    return adapted


def weights_of(model: PeftModel, name: str) -> list[nn.Parameter]:
    """The weights of one adapter, in the order in which they are alone."""
    return [weight for path, weight in model.named_parameters() if f".{name}." in path and "lora_" in path]


def save_adapter(model: PeftModel, folder: str | Path, name: str = ALONE) -> None:
    """Write one adapter in PEFT's own format; its name is not in it."""
    target = Path(folder)
    model.save_pretrained(str(target), safe_serialization=True, selected_adapters=[name])
    if name != ALONE:  # PEFT gives any other name a folder inside
        for file in (target / name).iterdir():
            file.replace(target / file.name)
        (target / name).rmdir()
    (target / "README.md").unlink(missing_ok=True)  # PEFT's empty form of a model card


def load_weights(model: PeftModel, folder: str | Path, name: str) -> None:
    """Give an adapter that is there the weights of a saved one of the same shape."""
    weights = load_file(Path(folder) / "adapter_model.safetensors")
    found = set_peft_model_state_dict(model, weights, adapter_name=name)
    assert not found.unexpected_keys, "a checkpoint is of the same adapter"


def load_adapter(model: DiffusionLM, folder: str | Path) -> PeftModel:
    """Put a saved adapter on a base model, frozen, in eval mode."""
    if not (Path(folder) / "adapter_config.json").is_file():
        raise ModelError(f"adapter: {folder} has no adapter_config.json; it is not an adapter")
    return PeftModel.from_pretrained(model, str(folder)).eval()


def base_of(model: nn.Module) -> DiffusionLM:
    """The DiffusionLM inside; PEFT wraps its linear layers in place, so it runs with the adapter."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    return cast(DiffusionLM, inner)

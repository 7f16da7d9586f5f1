"""An adapter merged into the weights of its base: what is exported, and what evaluation decodes with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from tad_core.errors import ModelError
from tad_core.models.base import DiffusionLM

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

#: Fields of an adapter that change what merging means, with the only values that are merged here.
_PLAIN_LORA = {
    "peft_type": "LORA", "bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False,
    "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None, "lora_bias": False,
}  # fmt: skip


def read_adapter(folder: Path) -> dict[str, Any]:
    """The settings of an adapter that can be merged.

    Raises:
        ModelError: it is none, or it needs more than adding a product of two matrices.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"adapter: {folder} has no {name}; it is not an adapter")
    settings = cast(dict[str, Any], json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")))
    for name, plain in _PLAIN_LORA.items():
        if (settings.get(name, plain) or None) != (plain or None):
            raise ModelError(
                f"adapter: {folder} has {name} {settings[name]!r}; only plain LoRA is merged here ({name} {plain!r})"
            )
    return settings


class Merge:
    """``W + alpha / r * B A`` in float32, for the weights that have an adapter; the others as they are."""

    def __init__(self, adapter: Path, device: torch.device) -> None:
        settings = read_adapter(adapter)
        self._scale = settings["lora_alpha"] / settings["r"]
        self._device = device
        self._pairs: dict[str, dict[str, Tensor]] = {}
        for name, value in load_file(adapter / ADAPTER_WEIGHTS).items():
            module, kind, _ = name.removeprefix("base_model.model.").rsplit(".", 2)
            self._pairs.setdefault(f"{module}.weight", {})[kind] = value
        for name, pair in self._pairs.items():
            if pair.keys() != {"lora_A", "lora_B"}:
                raise ModelError(f"adapter: {adapter} is damaged: {name} has {', '.join(sorted(pair))}")

    @property
    def keys(self) -> set[str]:
        """Keys of the base that are changed."""
        return set(self._pairs)

    def __call__(self, name: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """What takes the place of the base's ``weight`` called ``name``."""
        if name not in self._pairs:
            return weight.to(dtype)
        a, b = (self._pairs[name][kind].to(self._device, torch.float32) for kind in ("lora_A", "lora_B"))
        merged = weight.to(self._device, torch.float32) + (b @ a) * self._scale
        return cast(Tensor, merged.to(dtype))


@torch.no_grad()
def merge_into(model: DiffusionLM, adapter: Path) -> DiffusionLM:
    """Add the adapter to the model's own weights, in place; each is rounded once, to the dtype that the weight has.

    The result has the base's matrix products and no other, and is bit for bit what an export in this dtype gives. In
    bfloat16 the rounding drops a part of a small update, there as here.

    Raises:
        ModelError: the adapter cannot be used, or was trained on another base.
    """
    weights = dict(model.named_parameters())
    merge = Merge(adapter, next(iter(weights.values())).device)
    if strangers := sorted(merge.keys - weights.keys()):
        raise ModelError(f"adapter: {adapter} adapts {strangers[0]}, which this model does not have")
    for name in merge.keys:
        weights[name].copy_(merge(name, weights[name], weights[name].dtype))
    return model

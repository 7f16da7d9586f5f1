"""An adapter merged into the weights of its base: what is exported, and what evaluation decodes with."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tad_core.errors import ModelError
from tad_core.families import Shapes
from tad_core.models.base import DiffusionLM
from tad_core.models.rows import join_layers
from tad_core.models.transformer import TransformerLM

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: What older versions of PEFT wrote.
ADAPTER_PICKLE = "adapter_model.bin"

#: The two matrices of an adapted weight, as PEFT's keys end.
_FACTORS = ("A.weight", "B.weight")

#: Fields of an adapter that change what merging means, with the only values that are merged here.
_PLAIN_LORA = {
    "peft_type": "LORA", "bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False,
    "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None, "lora_bias": False,
    "alora_invocation_tokens": None, "use_qalora": False, "use_bdlora": None, "layer_replication": None,
    "target_parameters": None, "trainable_token_indices": None, "arrow_config": None, "kasa_config": None,
    "monteclora_config": None,
}  # fmt: skip
#: How the matrices of an adapter may have begun. With any other (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) PEFT takes their
#: product off the base's weights first: such an adapter added to the weights as they are is another model.
_BEGAN = (True, False, None, "gaussian", "eva", "orthogonal")


def read_adapter(folder: Path) -> dict[str, Any]:
    """The settings of an adapter that can be merged.

    Raises:
        ModelError: it is none, it is damaged, or it needs more than adding a product of two matrices.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            told = "it is not an adapter"
            if (folder / ADAPTER_PICKLE).is_file():
                told = f"{ADAPTER_PICKLE} is not read, since it may run code: have PEFT load it and save_pretrained it"
            raise ModelError(f"adapter: {folder} has no {name}; {told}")
    try:
        settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"adapter: {folder}/{ADAPTER_CONFIG} cannot be read ({error}); copy it again"
        ) from None
    if not isinstance(settings, dict):
        raise ModelError(f"adapter: {folder}/{ADAPTER_CONFIG} holds no mapping; copy it again")
    for name in ("r", "lora_alpha"):
        value = settings.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ModelError(
                f"adapter: {folder}/{ADAPTER_CONFIG} has {name} {value!r}; it is a number above 0"
            )
    for name, plain in _PLAIN_LORA.items():
        if (settings.get(name, plain) or None) != (plain or None):
            raise ModelError(
                f"adapter: {folder} has {name} {settings[name]!r}; only plain LoRA is merged here ({name} {plain!r})"
            )
    if (began := settings.get("init_lora_weights", True)) not in _BEGAN:
        raise ModelError(
            f"adapter: {folder} has init_lora_weights {began!r}, which changes the base's own weights, too; have PEFT "
            "write it as plain LoRA (save_pretrained with path_initial_model_for_weight_conversion)"
        )
    return settings


class Merge:
    """``W + alpha / r * B A`` in float32, for the weights that have an adapter; the others as they are."""

    def __init__(self, adapter: Path) -> None:
        """Read the adapter, not the base.

        Args:
            adapter: PEFT's folder.

        Raises:
            ModelError: the adapter cannot be used.
        """
        settings = read_adapter(adapter)
        self._scale = settings["lora_alpha"] / settings["r"]
        self._adapter = adapter
        self._pairs: dict[str, dict[str, Tensor]] = {}
        for name, value in _read(adapter / ADAPTER_WEIGHTS).items():
            module, _, factor = name.removeprefix("base_model.model.").rpartition(".lora_")
            self._pairs.setdefault(f"{module or name}.weight", {})[factor] = value
        for name, pair in self._pairs.items():
            if pair.keys() != set(_FACTORS) or any(factor.ndim != 2 for factor in pair.values()):
                raise ModelError(
                    f"adapter: {adapter} is damaged: {name} does not have lora_A and lora_B alone, "
                    "two matrices; copy or train it again"
                )

    @property
    def keys(self) -> set[str]:
        """Keys of the base that are changed."""
        return set(self._pairs)

    def check(self, shapes: Shapes, base: str) -> None:
        """Hold the adapter against the names and shapes of a base, before any of its weights is read.

        Raises:
            ModelError: the adapter was trained on another base.
        """
        if strangers := sorted(self.keys - shapes.keys()):
            raise ModelError(
                f"adapter: {self._adapter} adapts {strangers[0]}, which {base} does not have; use the base it was "
                "trained on"
            )
        for name, pair in self._pairs.items():
            a, b = (tuple(pair[factor].shape) for factor in _FACTORS)
            if (b[0], a[1]) != shapes[name] or a[0] != b[1]:
                raise ModelError(
                    f"adapter: {self._adapter} has {list(b)} x {list(a)} for {name}, which is {list(shapes[name])} in "
                    f"{base}; use the base it was trained on"
                )

    def __call__(self, name: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """What takes the place of the base's ``weight`` called ``name``; computed where that is."""
        if name not in self._pairs:
            return weight.to(dtype)
        a, b = (self._pairs[name][factor].to(weight.device, torch.float32) for factor in _FACTORS)
        merged = weight.float() + (b @ a) * self._scale
        return cast(Tensor, merged.to(dtype))


@torch.no_grad()
def merge_into(model: DiffusionLM, merge: Merge) -> DiffusionLM:
    """Add the adapter to the model's own weights, in place; each is rounded once, to the dtype that the weight has.

    The result has the base's matrix products and no other, and is bit for bit what an export in this dtype gives. In
    bfloat16 the rounding drops a part of a small update, there as here.

    Raises:
        ModelError: the adapter was trained on another base; the model is as it was.
    """
    weights = dict(model.named_parameters())
    merge.check({name: tuple(weight.shape) for name, weight in weights.items()}, type(model).__name__)
    for name in merge.keys:
        weights[name].copy_(merge(name, weights[name], weights[name].dtype))
    return model


def merged_beside(model: DiffusionLM, merge: Merge) -> DiffusionLM:
    """Another model with the adapter added, the first one as it was; weights without an adapter are one memory.

    Raises:
        ModelError: the adapter was trained on another base.
    """
    weights = dict(model.named_parameters())
    merge.check({name: tuple(weight.shape) for name, weight in weights.items()}, type(model).__name__)
    if model.device.type == "cuda" and isinstance(model, TransformerLM):
        # Now, while no graph reads them: what several models share is not laid elsewhere later.
        join_layers(model)
    shared = {id(weight): weight for name, weight in weights.items() if name not in merge.keys}
    return merge_into(copy.deepcopy(model, shared), merge)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return cast(dict[str, Tensor], load_file(file))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"adapter: {file} cannot be read as safetensors ({error}); copy it again") from None

"""From a checkpoint folder to a model that is ready, with every doubt settled before weights are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open

from tad_core.checkpoint import INDEX, check_model, load_tokenizer, local_folder, model_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError, OutOfMemoryError
from tad_core.models.base import DiffusionLM, no_progress_bars
from tad_core.models.dream import DreamConfig, DreamModel
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM

__all__ = [
    "FAMILIES",
    "build",
    "check_model",
    "check_weights",
    "load_model",
    "load_tokenizer",
    "model_fingerprint",
    "resolve_device",
    "weight_files",
]

#: model_type in config.json -> (config class, model class); the names are those of ``checkpoint.FAMILIES``
FAMILIES: dict[str, tuple[type[Any], type[DiffusionLM]]] = {
    "llada": (LLaDAConfig, LLaDAModelLM),
    "Dream": (DreamConfig, DreamModel),
}


def resolve_device(device: str) -> torch.device:
    """``auto`` is the first GPU, or the CPU where there is none.

    Raises:
        ModelError: if a GPU is named that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ModelError(f"model.device: {device!r} is not a device; use auto, cpu, cuda or cuda:N") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"model.device: {device} is not here ({torch.cuda.device_count()} GPUs); use auto or cpu"
        )
    return found


def load_model(model: ModelConfig, device: str | None = None) -> DiffusionLM:
    """The model in eval mode, on its device, in its dtype, whatever dtype the files have.

    Keys and shapes are compared before weights are read. Tensors are read one at a time straight to the device,
    so that the most memory taken is the model's own and one tensor. No code of the checkpoint is ever executed.

    Args:
        model: the checkpoint.
        device: overrides ``model.device``.

    Raises:
        ModelError: see ``check_model``; also when weights are missing, left over, of another shape or damaged.
        OutOfMemoryError: the device is too small.
    """
    check_model(model)
    if model.threads is not None:
        torch.set_num_threads(model.threads)
    where = resolve_device(device or model.device)
    family = check_weights(local_folder(model))
    try:
        with no_progress_bars():
            loaded = family.from_pretrained(
                local_folder(model),
                dtype=getattr(torch, model.dtype),
                local_files_only=True,
                trust_remote_code=False,
                device_map={"": where} if where.type == "cuda" else None,
            )
        return cast(DiffusionLM, loaded.to(where).eval())
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"model.path: {model.path} in {model.dtype} does not fit into the memory of {where} "
            f"({str(error).splitlines()[0]}); end what else is on it, use a GPU with more, or model.dtype bfloat16"
        ) from None


def build(folder: Path) -> DiffusionLM:
    """The model that config.json describes, without weights: on the meta device, it takes no memory."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config_class, model_class = FAMILIES[config["model_type"]]
    with torch.device("meta"):
        return model_class(config_class.from_dict(config))


def check_weights(folder: Path) -> type[DiffusionLM]:
    """Compare the keys and shapes in the files' headers with the architecture; returns its class.

    Raises:
        ModelError: naming the first key at fault.
    """
    model = build(folder)
    wanted = {name: list(value.shape) for name, value in model.state_dict().items()}
    found: dict[str, list[int]] = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as weights:
                found.update({name: weights.get_slice(name).get_shape() for name in weights.keys()})  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"model.path: {file} cannot be read as safetensors ({error}); copy or download it again"
            ) from None
    for fault, names in (("lacks", wanted.keys() - found.keys()), ("has also", found.keys() - wanted.keys())):
        if names:
            raise ModelError(
                f"model.path: {folder} does not fit its config.json: it {fault} {min(names)} "
                f"({len(names)} such keys); use the config.json of these weights"
            )
    if other := [name for name in wanted if wanted[name] != found[name]]:
        raise ModelError(
            f"model.path: {folder} does not fit its config.json: {other[0]} is {found[other[0]]} in the file and "
            f"{wanted[other[0]]} by the config; use the config.json of these weights"
        )
    return type(model)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files: those of the index if there is one."""
    if not (folder / INDEX).is_file():
        return sorted(folder.glob("*.safetensors"))
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return [folder / name for name in sorted(set(index["weight_map"].values()))]

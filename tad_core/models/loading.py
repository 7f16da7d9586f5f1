"""From a checkpoint folder to a model that is ready, with every doubt settled before weights are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerFast

from tad_core.checkpoint import check_model, local_folder, model_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError
from tad_core.models.base import DiffusionLM, no_progress_bars
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM

__all__ = ["FAMILIES", "check_model", "load_model", "load_tokenizer", "model_fingerprint", "resolve_device"]

#: model_type in config.json -> (config class, model class); the names are those of ``checkpoint.FAMILY_NAMES``
FAMILIES: dict[str, tuple[type[Any], type[DiffusionLM]]] = {"llada": (LLaDAConfig, LLaDAModelLM)}


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
    """The model in eval mode, on its device, in its dtype.

    Args:
        model: the checkpoint.
        device: overrides ``model.device``.

    Raises:
        ModelError: see ``check_model``; also when weights are missing or left over.
    """
    config = check_model(model)
    if model.threads is not None:
        torch.set_num_threads(model.threads)
    where = resolve_device(device or model.device)
    family = FAMILIES[config["model_type"]][1]
    with no_progress_bars():
        loaded, notes = family.from_pretrained(
            local_folder(model),
            dtype=getattr(torch, model.dtype),
            local_files_only=True,
            output_loading_info=True,
        )
    if wrong := [*notes["missing_keys"], *notes["unexpected_keys"]]:
        raise ModelError(
            f"model.path: {model.path} does not fit its config.json; first key at fault: {wrong[0]}"
        )
    return cast(DiffusionLM, loaded.to(where).eval())


def load_tokenizer(model: ModelConfig | str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint, from its files alone.

    Raises:
        ModelError: if there is none, or it has no chat template.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = local_folder(model)
    if not (Path(path) / "tokenizer.json").is_file():
        raise ModelError(f"model.path: {path} has no tokenizer.json; put the tokenizer beside the weights")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(path), local_files_only=True)
    if not tokenizer.chat_template:
        raise ModelError(f"model.path: the tokenizer in {path} has no chat template; add chat_template.jinja")
    return tokenizer

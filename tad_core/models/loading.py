"""From a checkpoint folder to a model that is ready, with every doubt settled before weights are read."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch

from tad_core.checkpoint import check_model, load_tokenizer, model_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError, OutOfMemoryError
from tad_core.fitting import first_line, is_out_of_memory
from tad_core.hub import local_folder
from tad_core.models.base import DiffusionLM, no_progress_bars
from tad_core.models.classes import FAMILIES
from tad_core.weights import INDEX, weight_files

__all__ = [
    "FAMILIES",
    "build",
    "check_model",
    "load_model",
    "load_tokenizer",
    "model_fingerprint",
    "resolve_device",
    "threads_kept",
]


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


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Give torch back the number of CPU threads that it had: a run's ``model.threads`` is not the next run's."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_model(model: ModelConfig, device: str | None = None) -> DiffusionLM:
    """The model in eval mode, on its device, in its dtype, whatever dtype the files have.

    Keys and shapes are compared before weights are read. Tensors are read one at a time straight to the device,
    so that the most memory taken is the model's own and one tensor. No code of the checkpoint is ever executed.
    ``model.threads`` stays torch's number of threads in this process; a stage works inside ``threads_kept``.

    Args:
        model: the checkpoint.
        device: overrides ``model.device``.

    Raises:
        ModelError: see ``check_model``; also when weights are missing, left over, of another shape or damaged.
        OutOfMemoryError: the device is too small.
    """
    config = check_model(model)
    if model.threads is not None:
        torch.set_num_threads(model.threads)
    where = resolve_device(device or model.device)
    folder = local_folder(model)
    family = FAMILIES[config["model_type"]][1]
    try:
        with no_progress_bars(), _weights_alone(folder) as view:
            loaded = family.from_pretrained(
                view,
                dtype=getattr(torch, model.dtype),
                local_files_only=True,
                trust_remote_code=False,
                device_map={"": where} if where.type == "cuda" else None,
            )
        # What an adapter is said to belong to.
        loaded.name_or_path = loaded.config.name_or_path = str(folder)
        return cast(DiffusionLM, loaded.to(where).eval())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"model.path: {model.path} in {model.dtype} does not fit into the memory of {where} "
            f"({first_line(error)}); end what else is on it, use a GPU with more, or model.dtype bfloat16"
        ) from None


def build(folder: Path) -> DiffusionLM:
    """The model that config.json describes, without weights: on the meta device, it takes no memory."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config_class, model_class = FAMILIES[config["model_type"]]
    with torch.device("meta"):
        return model_class(config_class.from_dict(config))


@contextlib.contextmanager
def _weights_alone(folder: Path) -> Iterator[Path]:
    """A folder of links to config.json and the weights: beside them transformers finds others to read."""
    files = [folder / "config.json", *weight_files(folder)]
    if (folder / INDEX).is_file():
        files.append(folder / INDEX)
    with tempfile.TemporaryDirectory(prefix="tad-model-") as view:
        for file in files:
            (Path(view) / file.name).symlink_to(file.resolve())
        yield Path(view)

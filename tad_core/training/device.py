"""The device of a training process, and whether kernels are compiled for it."""

from __future__ import annotations

import os
import shutil

import torch
from torch.utils._triton import has_triton

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError


def compiles(config: DistillConfig, device: torch.device) -> bool:
    """Whether layers and losses are compiled: where it is asked for, or left open on a GPU with what that takes."""
    if config.compile != "auto":
        return config.compile == "on"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return device.type == "cuda" and has_triton() and compiler is not None


def pick_device(device: str) -> torch.device:
    """This process's device: its own GPU under a launcher, the configured one otherwise."""
    if "LOCAL_RANK" in os.environ:
        on_gpu = device != "cpu" and torch.cuda.is_available()
        return torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else "cpu")
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda"):
        return torch.device("cuda:0")  # the one left visible, see hide_other_gpus
    return torch.device(device)


def hide_other_gpus(device: str) -> None:
    """Leave one GPU visible to a process that no launcher started; call before CUDA is first used.

    The Trainer would otherwise split every batch over all GPUs it sees.
    """
    if "LOCAL_RANK" in os.environ or device == "cpu":
        return
    index = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible is not None else [str(i) for i in range(index + 1)]
    if visible == "" and device == "auto":
        return
    if index >= len(names) or visible == "":
        raise ConfigError(
            f"model.device: {device} is not visible (CUDA_VISIBLE_DEVICES={visible}); use auto or cpu"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = names[index]

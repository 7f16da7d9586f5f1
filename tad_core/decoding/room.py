"""How many samples are decoded together where the setting says ``auto``: as many as the device has room for.

By the same dimensions from which ``tad plan`` works out the memory of a stage. What does not fit all the same is halved
(``fitting``), so this need not be exact.
"""

from __future__ import annotations

import weakref
from typing import Literal

import torch

from tad_core.models.base import DiffusionLM
from tad_core.shapes import AUTO_ON_A_CPU, read_shape, slots_in

#: Bytes of each model's device that were free, and all of them, before anything was decoded with it.
_found: weakref.WeakKeyDictionary[DiffusionLM, tuple[int, int]] = weakref.WeakKeyDictionary()


def slots_for(
    model: DiffusionLM,
    wanted: int | Literal["auto"],
    prompt: int,
    response: int,
    block: int,
    cached: bool,
) -> int:
    """``wanted``, or with ``auto`` what the memory holds that is free beside the model.

    Args:
        model: on its device.
        wanted: most samples in one forward.
        prompt: tokens of the longest prompt.
        response: tokens of a response.
        block: tokens of a block.
        cached: whether keys and values are kept.
    """
    if wanted != "auto":
        return wanted
    if model.device.type != "cuda":
        return AUTO_ON_A_CPU
    # Once: later some of it holds slots of an earlier call, which are taken again or given back.
    if model not in _found:
        _found[model] = _memory(model.device)
    free, total = _found[model]
    shape = read_shape(model.config.to_dict())
    return slots_in(free, total, shape, model.dtype.itemsize, prompt, response, block, cached)


def _memory(device: torch.device) -> tuple[int, int]:
    """Bytes that are free on a GPU, with those that torch holds for nothing, and all it has."""
    free, total = torch.cuda.mem_get_info(device)
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + idle, total

"""Several linear maps of one input, with their adapters' first halves as one product.

The rank of an adapter is small: a GPU is mostly idle in each product with an ``A``. Those of q, k and v, and of gate
and up, read the same rows, so that one product makes them all, and one each of its gradients.

Shapes: T tokens, D hidden, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn


def project(maps: Sequence[nn.Module], x_TD: Tensor) -> list[Tensor]:
    """What each map gives for ``x_TD``, up to rounding as each gives it by itself."""
    name = _shared_adapter(maps)
    if name is None:
        return [part(x_TD) for part in maps]
    layers = cast("list[LoraLayer]", maps)
    first = [layer.lora_A[name].weight for layer in layers]
    down_TR = F.linear(x_TD.to(first[0].dtype), torch.cat(first))
    pieces = torch.split(down_TR, [len(weight) for weight in first], dim=1)
    found = []
    for layer, piece_TR in zip(layers, pieces, strict=True):
        base = layer.base_layer(x_TD)
        found.append((base + layer.lora_B[name](piece_TR) * layer.scaling[name]).to(base.dtype))
    return found


def _shared_adapter(maps: Sequence[nn.Module]) -> str | None:
    """The one adapter that is on in all of them, with nothing between it and their input; None otherwise.

    Dropout draws a mask for each map.
    """
    names = set()
    for part in maps:
        if not isinstance(part, LoraLayer) or part.disable_adapters or part.merged:
            return None
        active = [name for name in part.active_adapters if name in part.lora_A]
        if len(active) != 1 or part.lora_variant.get(active[0]) is not None:
            return None
        if not isinstance(part.lora_dropout[active[0]], nn.Identity):
            return None
        names.add(active[0])
    return names.pop() if len(names) == 1 and len(maps) > 1 else None

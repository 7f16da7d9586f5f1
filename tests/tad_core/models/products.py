"""Which matrix products a computation is made of."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = {"mm", "addmm", "addmm_", "bmm"}


class Products(TorchDispatchMode):
    """Notes the kind and the dtype of each, in order; under ``inference_mode`` those of linear maps are not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := func.overloadpacket.__name__) in _PRODUCTS:
            self.seen.append((name, args[-1].dtype))
        return func(*args, **(kwargs or {}))

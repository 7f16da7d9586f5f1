"""What a row gives does not depend on its batch: how many run at once, and logits at chosen positions of each.

Shapes: B rows, L padded length, N positions a row, D hidden size, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.models.base import DiffusionLM


def at_once(device_type: str, wanted: int) -> int:
    """How many samples run together where ``wanted`` may: one on a CPU, all on an accelerator.

    A vectorised function takes the elements that fill no whole vector another way than the others (``silu`` and
    ``sigmoid`` of torch round them otherwise), sums and matrix products take other kernels for other shapes: what a
    sample gives in company differs in its last bits. Alone it has nothing to depend on, and on a CPU that is as fast,
    since the matrix products of one sample are compute-bound there.
    """
    return 1 if device_type == "cpu" else wanted


def logits_at(model: DiffusionLM, ids_BL: Tensor, length_B: list[int], at_BN: Tensor) -> Tensor:
    """Logits ``[B, N, V]`` at positions ``at_BN``; row b has ``length_B[b]`` tokens, then padding.

    On a GPU this is one padded forward. On a CPU every row runs alone and unpadded, the head too: as fast, since
    the matrix products are compute-bound there, and a row's float32 result is then bitwise independent of its
    batch (other shapes take other kernels, which round differently).
    """
    if ids_BL.device.type == "cpu":
        rows = [model.head(model.hidden(ids_BL[b : b + 1, :n])[0, at_BN[b]]) for b, n in enumerate(length_B)]
        return torch.stack(rows)
    width = max(length_B)
    lengths_B = torch.tensor(length_B, device=ids_BL.device)
    mask_BL = torch.arange(width, device=ids_BL.device) < lengths_B[:, None]
    hidden_BLD = model.hidden(ids_BL[:, :width], None if min(length_B) == width else mask_BL)
    return model.head(hidden_BLD.gather(1, at_BN[..., None].expand(-1, -1, hidden_BLD.shape[-1])))

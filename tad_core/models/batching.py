"""Logits at chosen positions of rows of different length, the same for a row whatever its batch.

Shapes: B rows, L padded length, N positions a row, D hidden size, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.models.base import DiffusionLM


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

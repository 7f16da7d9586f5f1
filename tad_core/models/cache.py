"""Keys and values kept between forwards, so that a block can be computed against the rest as it was.

Shapes: B batch, L cached tokens, S tokens computed in this call, K key/value heads, E head size, D hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor


class LayerCache:
    """Keys (rotated) and values of one layer, both ``[B, K, L, E]``."""

    def __init__(self) -> None:
        self.keys = torch.empty(0)
        self.values = torch.empty(0)

    def fill(self, k_BKLE: Tensor, v_BKLE: Tensor) -> tuple[Tensor, Tensor]:
        """Keep what a full forward computed, and give it back."""
        self.keys, self.values = k_BKLE, v_BKLE
        return k_BKLE, v_BKLE

    def renew(self, k_BKSE: Tensor, v_BKSE: Tensor, at_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Write these positions over the kept ones; returns all L."""
        index = at_BS[:, None, :, None].expand_as(k_BKSE)
        self.keys.scatter_(2, index, k_BKSE.to(self.keys.dtype))
        self.values.scatter_(2, index, v_BKSE.to(self.values.dtype))
        return self.keys, self.values


class BlockCache:
    """What ``hidden(..., cache=...)`` leaves for ``hidden_at``: one object for a batch, used again and again.

    A full forward fills it; ``hidden_at`` computes some positions against it and renews those. The others stay as
    they were computed last, which is what makes block decoding with a cache an approximation; a new full
    forward refreshes everything. Meant for inference: what is kept carries no gradient worth having.

    Attributes:
        layers: keys and values, layer by layer.
        visible_B11L: True at tokens, False at padding; None when nothing is padded.
        rows_BLD: final hidden rows as the layers give them, before a family's shift.
    """

    def __init__(self) -> None:
        self.layers: list[LayerCache] = []
        self.visible_B11L: Tensor | None = None
        self.rows_BLD = torch.empty(0)

    @property
    def length(self) -> int:
        """Tokens of a row, padding included; 0 before the first full forward."""
        return self.rows_BLD.shape[1] if self.rows_BLD.ndim == 3 else 0

    def start(self, layers: int, visible_B11L: Tensor | None) -> None:
        """Forget everything and make room for so many layers."""
        self.layers = [LayerCache() for _ in range(layers)]
        self.visible_B11L = visible_B11L
        self.rows_BLD = torch.empty(0)

    def keep(self, rows_B: Tensor) -> None:
        """Drop every sample but these rows, in this order."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows_B], layer.values[rows_B]
        if self.visible_B11L is not None:
            self.visible_B11L = self.visible_B11L[rows_B]
        self.rows_BLD = self.rows_BLD[rows_B]

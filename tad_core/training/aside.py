"""The token embedding on the host while adapters are trained: a gigabyte of an 8B model that the GPU reads little of.

Shapes: T tokens, V vocabulary, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tad_core.models.base import DiffusionLM


class Aside:
    """A model's token embedding, taken from its device; what is trained reads its rows from here."""

    def __init__(self, model: DiffusionLM) -> None:
        """Take it; until it is put back, the model takes embeddings alone."""
        self._weight = model.get_input_embeddings().weight
        self._device = self._weight.device
        self._table_VD = self._weight.data.cpu()
        self._weight.data = self._weight.data[:0].clone()

    def behind(self, collate: Callable[[list[int]], dict[str, Any]]) -> Callable[[list[int]], dict[str, Any]]:
        """Batches with ``[T, D]`` in place of each reader's ``ids_T``."""
        return lambda indices: self.embedded(collate(indices))

    def embedded(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One of them."""
        return {
            who: {**part, "ids_T": self._table_VD[part["ids_T"]]} if who in ("student", "teacher") else part
            for who, part in batch.items()
        }

    def put_back(self) -> None:
        """Give it to the model again."""
        self._weight.data = self._table_VD.to(self._device)

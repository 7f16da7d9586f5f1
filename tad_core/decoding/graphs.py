"""Small forwards as CUDA graphs: where a GPU is faster than its host can launch.

One graph for each number of tokens and of rows asked for; what a forward computes is written into the graph's own
buffers. The number of sequences is always the same: one that has nothing to compute is empty.

Shapes: T computed tokens, N rows asked for, B sequences, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tad_core.models.base import DiffusionLM
from tad_core.models.packed import Keys, PackedCache, Packing, Segments

_WARM_UP = 2


@dataclass
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    hidden_ND: Tensor
    held: object
    """What the graph reads and the model may give up: tables of rotations, when they grow."""


class Graphs:
    """Graphs of one model and one cache, captured when first needed."""

    def __init__(self, cache: PackedCache | None, sequences: int, width: int) -> None:
        """For so many sequences of at most ``width`` tokens."""
        self._cache, self._sequences, self._width = cache, sequences, width
        self._pool: Any = None
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def run(self, model: DiffusionLM, ids_T: Tensor, packing: Packing) -> Tensor:
        """As ``DiffusionLM.packed``; what it returns is valid until the next call."""
        assert len(packing.tokens.counts) == self._sequences
        key = len(ids_T), len(packing.wanted_N)
        given = _tensors(ids_T, packing)
        found = self._graphs.get(key)
        if found is None:
            found = self._graphs[key] = self._capture(model, given, packing)
        torch._foreach_copy_(found.inputs, given)
        found.graph.replay()
        return found.hidden_ND

    def _capture(self, model: DiffusionLM, given: list[Tensor], packing: Packing) -> _Graph:
        inputs = [of.clone() for of in given]
        mine = self._over(inputs, packing)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):  # compiles, and lets libraries take their workspaces
                model.packed(inputs[0], mine, self._cache, True)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            hidden_ND = model.packed(inputs[0], mine, self._cache, True)
        self._pool = graph.pool()
        return _Graph(graph, inputs, hidden_ND, model.held_by_graphs())

    def _over(self, inputs: list[Tensor], packing: Packing) -> Packing:
        """The same forward, over the graph's buffers; the host's numbers in it are bounds."""
        _, at_T, wanted_N, tokens_B1, wanted_B1, *of_keys = inputs
        count = len(at_T)
        keys = None
        if of_keys:
            start_B1, count_B, cell_T = of_keys
            keys = Keys((), (), start_B1, count_B, self._width, cell_T)
        return Packing(
            at_T, Segments((), tokens_B1, count), wanted_N, Segments((), wanted_B1, len(wanted_N)), keys
        )  # fmt: skip


def _tensors(ids_T: Tensor, packing: Packing) -> list[Tensor]:
    keys = packing.keys
    assert keys is None or isinstance(keys, Keys)
    of_keys = [keys.start_B1, keys.count_B, keys.cell_T] if keys else []
    return [
        ids_T, packing.at_T, packing.wanted_N, packing.tokens.start_B1, packing.wanted.start_B1, *of_keys
    ]  # fmt: skip

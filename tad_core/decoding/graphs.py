"""Small forwards as CUDA graphs: where a GPU is faster than its host can launch.

A forward is two graphs, that of all layers but the last, for each number of tokens, and that of the last, for each
number of rows asked for too: so the first can run before anybody knows which rows are. What a forward computes is
written into the graphs' own buffers. The number of sequences is always the same: one that has nothing to compute is
empty.

Shapes: T computed tokens, N rows asked for, B sequences, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from tad_core.models import packed
from tad_core.models.layout import Keys, Packing, Segments
from tad_core.models.packed import Begun, PackedCache
from tad_core.models.transformer import TransformerLM

_WARM_UP = 2
Made = TypeVar("Made")


@dataclass
class _Graph(Generic[Made]):
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    made: Made
    held: object
    """What the graph reads and the model may give up: tables of rotations, when they grow."""

    def replay(self, given: list[Tensor]) -> Made:
        torch._foreach_copy_(self.inputs, given)
        self.graph.replay()
        return self.made


class Graphs:
    """Graphs of one model and one cache, captured when first needed."""

    def __init__(self, cache: PackedCache | None, sequences: int, width: int) -> None:
        """For so many sequences of at most ``width`` tokens."""
        self._cache, self._sequences, self._width = cache, sequences, width
        self._pool: Any = None
        self._firsts: dict[int, _Graph[Begun]] = {}
        self._lasts: dict[tuple[int, int], _Graph[Tensor]] = {}

    def begin(self, model: TransformerLM, ids_T: Tensor, packing: Packing) -> None:
        """All layers but the last; neither what is wanted nor the host's numbers in ``packing`` are read."""
        given = [ids_T, packing.at_T, packing.tokens.start_B1, *_of_keys(packing)]
        assert len(packing.tokens.start_B1) == self._sequences + 1
        found = self._firsts.get(len(ids_T))
        if found is None:
            inputs = [of.clone() for of in given]
            work = partial(packed.begin, model, inputs[0], self._over(inputs), self._cache, True)
            found = self._firsts[len(ids_T)] = self._captured(model, inputs, work)
        found.replay(given)

    def end(self, model: TransformerLM, count: int, wanted_N: Tensor, wanted: Segments) -> Tensor:
        """The last layer of the forward of ``count`` tokens that was begun; valid until the next one ends."""
        given, first = [wanted_N, wanted.start_B1], self._firsts[count]
        found = self._lasts.get((count, len(wanted_N)))
        if found is None:
            inputs = [of.clone() for of in given]
            mine = Segments((), inputs[1], len(wanted_N))
            packing = replace(self._over(first.inputs), wanted_N=inputs[0], wanted=mine)
            work = partial(packed.end, model, first.made, packing, self._cache, True)
            found = self._lasts[count, len(wanted_N)] = self._captured(model, inputs, work)
        return found.replay(given)

    def _captured(self, model: TransformerLM, inputs: list[Tensor], work: Callable[[], Made]) -> _Graph[Made]:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):  # compiles, and lets libraries take their workspaces
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            made = work()
        self._pool = graph.pool()
        return _Graph(graph, inputs, made, model.held_by_graphs())

    def _over(self, inputs: list[Tensor]) -> Packing:
        """A forward over the first graph's buffers, of which nothing is wanted; the host's numbers are bounds."""
        _, at_T, tokens_B1, *of_keys = inputs
        keys = None
        if of_keys:
            start_B1, count_B, cell_T = of_keys
            keys = Keys((), (), start_B1, count_B, self._width, cell_T)
        return Packing(at_T, Segments((), tokens_B1, len(at_T)), at_T[:0], Segments((), tokens_B1, 0), keys)


def _of_keys(packing: Packing) -> list[Tensor]:
    keys = packing.keys
    assert keys is None or isinstance(keys, Keys)
    return [keys.start_B1, keys.count_B, keys.cell_T] if keys else []

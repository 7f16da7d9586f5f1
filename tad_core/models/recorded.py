"""All layers but the last in training as CUDA graphs, where a GPU is faster than its host can launch.

A micro-batch of LLaDA-8B's shape is some 3,000 kernels, which a host begins no faster than a GPU runs them. What they
are depends on the number of tokens alone, so they are recorded once for each: the forward, and the backward pass that
adds to the weights' gradients. Numbers of tokens are rounded up, and the rows more are a sequence of their own.

All graphs share one memory, since only one micro-batch is under way at a time.

Shapes: T tokens, D hidden, E head size, B sequences, L layers, G groups of maps of one input.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tad_core.models.adapted import Adapted
from tad_core.models.layout import Segments
from tad_core.models.maps import Sums
from tad_core.models.rows import below_multiples
from tad_core.models.stack import (
    Eager,
    Run,
    Step,
    back,
    drawn,
    gradients_in,
    seeded,
    shares_of,
    sums_of,
    through,
    weights_of,
)

#: Graphs are made for this many numbers of tokens between a power of two and the next.
SIZES = 32
#: Graphs that are kept, the last used ones.
GRAPHS = 96


def rounded(tokens: int) -> int:
    """For how many tokens a graph is made that runs so many."""
    step = max(16, (1 << (tokens.bit_length() - 1)) // SIZES)
    return next(below_multiples(tokens, step))


def recordable(x_TD: Tensor) -> bool:
    """Whether layers of such a residual stream can be graphs: other attention asks the host how long sequences are."""
    return x_TD.is_cuda and x_TD.dtype in (torch.bfloat16, torch.float16)


@dataclass
class _Buffers:
    """What graphs read and write, of as many tokens as the longest of them runs; shorter ones have its beginning.

    Attributes:
        x_TD: the residual stream before the layers.
        cos_TE, sin_TE: rotations.
        seed_LG: of dropout, by layers and groups.
        out_TD: the residual stream behind the layers.
        pulled_TD: its gradient.
    """

    x_TD: Tensor
    cos_TE: Tensor
    sin_TE: Tensor
    seed_LG: Tensor
    out_TD: Tensor
    pulled_TD: Tensor

    @classmethod
    def of(cls, x_TD: Tensor, layers: Sequence[Adapted], count: int, trained: bool) -> _Buffers:
        """For so many tokens like these."""
        x, cos, sin = (
            like.new_zeros(count, *like.shape[1:]) for like in (x_TD, layers[0].cos_TE, layers[0].sin_TE)
        )
        seed_LG = layers[0].tokens.start_B1.new_zeros(len(layers), len(layers[0].groups))
        return cls(x, cos, sin, seed_LG, torch.zeros_like(x), torch.zeros_like(x) if trained else x[:0])


@dataclass
class _Graph:
    """A forward, and where gradients are wanted the way back.

    Attributes:
        buffers: what it reads and writes.
        count: tokens that it runs; those that are more than given are a sequence of their own.
        start_B1: where sequences begin.
        forth: the forward.
        back: the way back.
        places: where the weights were when it was recorded.
    """

    buffers: _Buffers
    count: int
    start_B1: Tensor
    forth: torch.cuda.CUDAGraph
    back: torch.cuda.CUDAGraph | None
    places: list[int]


class _Recorded:
    """One micro-batch by a graph, which adds gradients to totals: what the weights have, unless those are ``kept``."""

    def __init__(
        self,
        graph: _Graph,
        layers: Sequence[Adapted],
        weights: list[nn.Parameter],
        totals: list[Tensor],
        kept: bool = False,
    ) -> None:
        self._graph, self._layers, self._weights, self._totals = graph, layers, weights, totals
        self._count, self._kept, self.under_way = 0, kept, False

    def forward(self, x_TD: Tensor) -> Tensor:
        to, layer, self._count = self._graph.buffers, self._layers[0], len(x_TD)
        given = [(to.x_TD, x_TD), (to.cos_TE, layer.cos_TE), (to.sin_TE, layer.sin_TE)]
        for buffer, of in (*given, (self._graph.start_B1, layer.tokens.start_B1)):
            buffer[: len(of)].copy_(of)
        if any(shares_of(self._layers)):
            to.seed_LG.copy_(drawn(self._layers))
        self._graph.forth.replay()
        self.under_way = True
        return to.out_TD[: self._count]

    def backward(self, pulled_TD: Tensor) -> list[None]:
        graph = self._graph
        assert graph.back is not None and self.under_way, "what the forward kept is gone after one way back"
        if not self._kept:
            attach(self._weights, self._totals)
        graph.buffers.pulled_TD[: self._count].copy_(pulled_TD)
        graph.buffers.pulled_TD[self._count : graph.count].zero_()
        graph.back.replay()
        self.under_way = False
        return [None] * len(self._weights)


def attach(weights: Sequence[nn.Parameter], totals: Sequence[Tensor]) -> None:
    """Have weights that have no gradient, as after an optimizer's step, begin with zeros in the graphs' memory."""
    bare = [
        (weight, total) for weight, total in zip(weights, totals, strict=True) if weight.grad is not total
    ]
    new = [total for weight, total in bare if weight.grad is None]
    if new:
        torch._foreach_zero_(new)
    for weight, total in bare:
        if weight.grad is not None:  # from elsewhere
            total.copy_(weight.grad)
        weight.grad = total


class _Totals(NamedTuple):
    """The gradients of some weights: as layers add to them, and of each weight."""

    weights: list[nn.Parameter]
    sums: list[list[Sums | None]]
    each: list[Tensor]

    def taken(self) -> list[Tensor]:
        """A copy of each in its weight's dtype; then they begin anew."""
        found = [
            total.to(weight.dtype, copy=True) for weight, total in zip(self.weights, self.each, strict=True)
        ]
        torch._foreach_zero_(self.each)
        return found


class _Kept:
    """A run whose gradients stay with the stack: autograd gets them in the micro-batches in which it gives them."""

    def __init__(self, run: Run, totals: _Totals, stack: Stack) -> None:
        self._run, self._totals, self._stack = run, totals, stack

    def forward(self, x_TD: Tensor) -> Tensor:
        return self._run.forward(x_TD)

    def backward(self, pulled_TD: Tensor) -> Sequence[Tensor | None]:
        self._run.backward(pulled_TD)
        return self._totals.taken() if self._stack.gives else [None] * len(self._totals.weights)


class Stack:
    """The layers of one model: as graphs on a GPU, kernel by kernel elsewhere.

    Attributes:
        graphs: whether there may be any.
        gives: with ``kept``, whether autograd gets gradients: all that were added up since it last got some.
    """

    def __init__(self, kept: bool = False) -> None:
        """``kept``: gradients of weights are added up here in float32, whatever the weights' dtype, and not in them."""
        self.graphs, self.gives, self._kept = True, False, kept
        self._graphs: OrderedDict[tuple[Any, ...], _Graph] = OrderedDict()
        self._totals: dict[tuple[int, ...], _Totals] = {}
        self._buffers: dict[bool, _Buffers] = {}
        self._pool: Any = None
        self._last: weakref.ref[_Recorded] | None = None

    def __call__(self, layers: Sequence[Adapted], x_TD: Tensor, checkpointed: bool) -> Tensor:
        """The residual stream behind the layers, for autograd where it is asked for."""
        weights = weights_of(layers)
        trained = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
        graph = self._graph_for(layers, x_TD, weights, trained, checkpointed)
        if not trained:
            if graph is None:
                return through(seeded(layers), x_TD)[0]
            return _Recorded(graph, layers, [], []).forward(x_TD)
        totals = self._totals_of(layers, weights) if self._kept or graph is not None else None
        run: Run
        if graph is None or totals is None:
            run = Eager(layers, checkpointed, totals.sums if totals else None)
        else:
            run = _Recorded(graph, layers, weights, totals.each, self._kept)
            self._last = weakref.ref(run)
        if self._kept and totals is not None:
            run = _Kept(run, totals, self)
        return cast(Tensor, Step.apply(run, x_TD, *weights))  # type: ignore[no-untyped-call]

    def _graph_for(
        self,
        layers: Sequence[Adapted],
        x_TD: Tensor,
        weights: list[nn.Parameter],
        trained: bool,
        checkpointed: bool,
    ) -> _Graph | None:
        """Recorded now if there is none; None where the layers have to be run kernel by kernel."""
        last = self._last() if self._last is not None else None
        busy = last is not None and last.under_way  # its way back needs the graphs' memory as it is
        # Adapters without gradient have weights that they have for a moment.
        if not self.graphs or not recordable(x_TD) or busy or (weights and not trained):
            return None
        count = rounded(len(x_TD))
        # Of all layers: one may have other adapters than the next.
        whose = (_names(weights), shares_of(layers), checkpointed) if trained else None
        key = (whose, count, len(layers[0].tokens.start_B1))
        found = self._graphs.get(key)
        if found is None or found.places != [weight.data_ptr() for weight in weights]:
            found = self._record(layers, x_TD, count, weights if trained else [], checkpointed)
            self._graphs[key] = found
            if len(self._graphs) > GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return found

    def _record(
        self, layers: Sequence[Adapted], x_TD: Tensor, count: int, weights: list[nn.Parameter], checkpointed: bool
    ) -> _Graph:  # fmt: skip
        trained = bool(weights)
        buffers = self._buffers_for(layers, x_TD, count, trained)
        starts = layers[0].tokens.start_B1
        start_B1 = starts.new_full((len(starts) + 1,), count)
        start_B1[: len(starts)] = starts
        over = _over(layers, buffers, start_B1, count)
        x_TD, out_TD, pulled_TD = (of[:count] for of in (buffers.x_TD, buffers.out_TD, buffers.pulled_TD))
        with torch.no_grad():
            _warm_up(over[:2], x_TD, trained, checkpointed, self._kept)
            torch.cuda.empty_cache()  # or what that took could not be the graphs'
            forth, way_back = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph() if trained else None
            sums = self._totals_of(layers, weights).sums if trained else []
            with torch.cuda.graph(forth, pool=self._pool):
                behind_TD, kept = through(over, x_TD, trained, checkpointed)
                out_TD.copy_(behind_TD)
                del behind_TD
            self._pool = forth.pool()
            if way_back is not None:
                with torch.cuda.graph(way_back, pool=self._pool):
                    back(over, kept, pulled_TD, sums)
        return _Graph(buffers, count, start_B1, forth, way_back, [weight.data_ptr() for weight in weights])

    def _buffers_for(self, layers: Sequence[Adapted], x_TD: Tensor, count: int, trained: bool) -> _Buffers:
        """Those that there are, unless they are too short.

        Then what was recorded with them is recorded again, and with those of training all: what is recorded after a
        longer one fits into the memory of that, and not the other way round.
        """
        found = self._buffers.get(trained)
        if found is None or len(found.x_TD) < count:
            if trained or found is not None:
                self._forget(None if trained else found)
            self._buffers.pop(trained, None)
            found = None  # or there were two
            torch.cuda.empty_cache()
            found = self._buffers[trained] = _Buffers.of(x_TD, layers, count, trained)
        return found

    def _forget(self, buffers: _Buffers | None) -> None:
        """What was recorded with some buffers; None: all, and the memory of it."""
        if self._graphs:
            torch.cuda.synchronize()  # none is under way
        if buffers is None:
            self._graphs.clear()
        else:
            gone = [key for key, graph in self._graphs.items() if graph.buffers is buffers]
            for key in gone:
                del self._graphs[key]
        if not self._graphs:
            self._pool = None  # torch has let go of it

    def _totals_of(self, layers: Sequence[Adapted], weights: list[nn.Parameter]) -> _Totals:
        """Where the gradients of these weights are added up."""
        key = _names(weights)
        if key not in self._totals:
            sums = sums_of(layers, self._kept)
            self._totals[key] = _Totals(weights, sums, gradients_in(sums))
        return self._totals[key]


def _names(weights: Sequence[nn.Parameter]) -> tuple[int, ...]:
    """What tells these weights from others as long as there are both."""
    return tuple(map(id, weights))


def _over(layers: Sequence[Adapted], buffers: _Buffers, start_B1: Tensor, count: int) -> list[Adapted]:
    """The layers on the first so many tokens of the buffers."""
    tokens = Segments((), start_B1, count)
    seeds = [buffers.seed_LG[i] if layer.dropout else None for i, layer in enumerate(layers)]
    cos_TE, sin_TE = buffers.cos_TE[:count], buffers.sin_TE[:count]
    return [
        replace(layer, cos_TE=cos_TE, sin_TE=sin_TE, tokens=tokens, seed_G=seed_G)
        for layer, seed_G in zip(layers, seeds, strict=True)
    ]


def _warm_up(layers: Sequence[Adapted], x_TD: Tensor, trained: bool, checkpointed: bool, exact: bool) -> None:
    """Kernels are compiled and chosen, and libraries take their workspaces; all layers have the same shapes."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        out_TD, kept = through(layers, x_TD, trained, checkpointed)
        if trained:
            back(layers, kept, torch.zeros_like(out_TD), sums_of(layers, exact))
    torch.cuda.current_stream().wait_stream(stream)

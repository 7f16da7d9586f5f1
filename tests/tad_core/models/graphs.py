"""CUDA graphs as they are to memory, on a CPU: what a recording computed is computed again, into the same memory.

A recording itself computes nothing. All graphs have one memory: when one runs, what the others left in it is gone but
for what it reads itself, and what it has read is gone behind it.

Shapes: T tokens, H heads of queries, K of keys, E head size, D hidden.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tad_core.models import adapted, recorded
from tad_core.models.layout import Segments


class Graph:
    """In place of ``torch.cuda.CUDAGraph``."""

    all: list[Graph]

    def __init__(self) -> None:
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.memory: dict[int, Tensor] = {}
        self.reads: list[Graph] = []
        self.replays = 0
        self.all.append(self)

    def pool(self) -> list[Graph]:
        """The memory of all."""
        return self.all

    def replay(self) -> None:
        """Compute it again."""
        for other in self.all:
            if other not in self.reads:
                other.spoil()
        for function, arguments, named, found in self.calls:
            again = function(*arguments, **named)
            for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)
        for other in self.reads:
            other.spoil()
        self.replays += 1

    def spoil(self) -> None:
        """Have something else written into its memory."""
        for tensor in self.memory.values():
            tensor.fill_(math.nan if tensor.is_floating_point() else 77)


class _Recording(TorchDispatchMode):
    """Notes what is computed, and leaves the memory that was there before as it was."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph, self._before = graph, dict[int, tuple[Tensor, Tensor]]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        graph, named = self._graph, kwargs or {}
        given = [x for x in tree_leaves((args, named)) if isinstance(x, Tensor)]
        for tensor in given:
            at = _address(tensor)
            if at not in graph.memory and at not in self._before:
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self._before[at] = whole, whole.clone()
        found = function(*args, **named)
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and _address(tensor) not in self._before:
                graph.memory.setdefault(_address(tensor), tensor)
        graph.calls.append((function, args, named, found))
        return found

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for whole, as_it_was in self._before.values():
            whole.copy_(as_it_was)
        self._graph.reads = [other for other in Graph.all if other.memory.keys() & self._before.keys()]

    def __enter__(self) -> Self:
        super().__enter__()
        return self


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Stream:
    def wait_stream(self, other: _Stream) -> None:
        """A CPU does one thing after the other."""


def stand_in(patch: pytest.MonkeyPatch) -> type[Graph]:
    """Have layers recorded as such graphs; returns the class, which knows ``all`` that were made."""
    Graph.all = []

    @contextlib.contextmanager
    def graph(made: Graph, pool: object) -> Iterator[None]:
        assert pool is None or pool is Graph.all
        with torch.no_grad(), _Recording(made):
            yield

    for name, value in {
        "CUDAGraph": Graph,
        "graph": graph,
        "Stream": _Stream,
        "stream": lambda _: contextlib.nullcontext(),
        "current_stream": _Stream,
        "empty_cache": lambda: None,
        "synchronize": lambda: None,
    }.items():
        patch.setattr(torch.cuda, name, value)
    patch.setattr(recorded, "recordable", lambda _: True)
    patch.setattr(adapted, "attend_and_keep", _attend)
    patch.setattr(adapted, "attend_back", _attend_back)
    return Graph


# --- an attention that, like a GPU's, reads where sequences begin when it runs ---------------------------


def _attend(
    q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor, tokens: Segments
) -> tuple[Tensor, tuple[Tensor, ...]]:
    weights_HTT, _, v_HTE = _weights(q_THE, k_TKE, v_TKE, tokens)
    return (weights_HTT @ v_HTE).transpose(0, 1).flatten(1), ()


def _attend_back(
    pulled_TD: Tensor, q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    weights_HTT, k_HTE, v_HTE = _weights(q_THE, k_TKE, v_TKE, rest[-1])
    pulled_HTE = pulled_TD.view(q_THE.shape).transpose(0, 1)
    pulled_HTT = pulled_HTE @ v_HTE.transpose(1, 2)
    mean_HT1 = (pulled_HTT * weights_HTT).sum(-1, keepdim=True)
    scores_HTT = weights_HTT * (pulled_HTT - mean_HT1) / math.sqrt(q_THE.shape[2])
    k, v = (
        x_HTT.transpose(1, 2) @ y_HTE
        for x_HTT, y_HTE in ((scores_HTT, q_THE.transpose(0, 1)), (weights_HTT, pulled_HTE))
    )
    k, v = (x_HTE.transpose(0, 1).reshape(*k_TKE.shape[:2], -1, k_TKE.shape[2]).sum(2) for x_HTE in (k, v))
    return (scores_HTT @ k_HTE).transpose(0, 1), k, v


def _weights(q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor, tokens: Segments) -> tuple[Tensor, Tensor, Tensor]:
    shared = q_THE.shape[1] // k_TKE.shape[1]
    k_HTE, v_HTE = (x.transpose(0, 1).repeat_interleave(shared, 0) for x in (k_TKE, v_TKE))
    of_T = torch.bucketize(torch.arange(len(q_THE)), tokens.start_B1, right=True)
    scores_HTT = q_THE.transpose(0, 1) @ k_HTE.transpose(1, 2) / math.sqrt(q_THE.shape[2])
    scores_HTT = torch.where(of_T[:, None] == of_T, scores_HTT, -math.inf)
    return scores_HTT.softmax(-1), k_HTE, v_HTE

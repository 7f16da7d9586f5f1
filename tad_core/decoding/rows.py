"""How many rows a matrix product gets on an accelerator, so that each comes out as it would among others.

Libraries choose a kernel by the number of rows, and some of these kernels add up in another order. Which, depends on
the shape of the matrix and on the card: for LLaDA-8B's on an H100 64 rows differ from 1,024 and 128 do not, for
Dream-7B's keys 221 do. So numbers are tried on the device at hand before they are used.

Shapes: N rows, D inputs of a map.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import nn

from tad_core.models.base import DiffusionLM
from tad_core.models.transformer import TransformerLM

#: Numbers that are tried before a first one is taken as it is: no card has been seen to need so many.
TRIED = 16
#: More rows than these are not tried: kernels were the same from here on, and it would take memory.
MOST = 4096


class Rows:
    """Numbers of rows at which some maps give each row what they give it among ``among``."""

    def __init__(self, maps: Sequence[nn.Module], among: int) -> None:
        """``maps`` are linear, ``weight`` is ``[outputs, D]``."""
        self._maps, self._among = maps, among
        self._known: dict[int, bool] = {}

    def first(self, numbers: Iterable[int]) -> int:
        """The first of these at which rows do not depend on their number."""
        tried = list(islice(numbers, TRIED))
        return next((n for n in tried if n > MOST or self._same(n)), tried[0])

    def _same(self, number: int) -> bool:
        if number not in self._known:
            self._known[number] = all(self._same_in(a_map, number) for a_map in self._maps)
        return self._known[number]

    def _same_in(self, a_map: nn.Module, number: int) -> bool:
        weight = a_map.weight
        assert isinstance(weight, torch.Tensor)
        draw = torch.Generator(weight.device).manual_seed(0)
        shape = max(number, self._among), weight.shape[1]
        x_ND = torch.randn(shape, dtype=weight.dtype, device=weight.device, generator=draw)
        shared = min(number, self._among)
        return torch.equal(a_map(x_ND[:number])[:shared], a_map(x_ND[: self._among])[:shared])


_layers: weakref.WeakKeyDictionary[DiffusionLM, Rows] = weakref.WeakKeyDictionary()
_heads: weakref.WeakKeyDictionary[DiffusionLM, Rows] = weakref.WeakKeyDictionary()


def of_layers(model: DiffusionLM) -> Rows:
    """Of the maps of a layer; all layers have the same shapes."""
    if model not in _layers:
        maps: list[nn.Module] = []
        if isinstance(model, TransformerLM):
            parts = next(iter(model.layers())).parts()  # type: ignore[operator]
            maps = [parts.q, parts.k, parts.v, parts.o, parts.gate, parts.up, parts.down]
        _layers[model] = Rows(maps, 1024)
    return _layers[model]


def of_head(model: DiffusionLM) -> Rows:
    """Of the output head."""
    if model not in _heads:
        _heads[model] = Rows([model.output_head()] if isinstance(model, TransformerLM) else [], 512)
    return _heads[model]

"""How many rows a matrix product gets on an accelerator, so that each comes out as it would among others.

Libraries choose a kernel by the number of rows, and some of these kernels add up in another order. Which, depends on
the shape of the matrix and on the card: for LLaDA-8B's on an H100 64 rows differ from 1,024 and 128 do not, for
Dream-7B's keys 221 do. So numbers are tried on the device at hand before they are used.

Shapes: N rows, D inputs and O outputs of a map.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from tad_core.models.joined import join, joined

if TYPE_CHECKING:
    from tad_core.models.base import DiffusionLM
    from tad_core.models.transformer import Layer, TransformerLM

#: Numbers that are tried before a first one is taken as it is: no card has been seen to need so many.
TRIED = 16
#: More rows than these are not tried: kernels were the same from here on, and it would take memory.
MOST = 4096
#: Libraries choose slower products for multiples of 64 than for a few rows less: those of all layers of LLaDA-8B's take
#: 11.2 ms for 448 rows on an H200 and 10.2 for 440; those of one 1,191 us for 1,664 and 1,049 for 1,648.
LESS = 8


class Tried(NamedTuple):
    """What is tried.

    Attributes:
        inputs: D.
        run: a product of ``[N, D]``.
        as_in: the product whose rows it is to give; mostly its own.
    """

    inputs: int
    run: Callable[[Tensor], Tensor]
    as_in: Callable[[Tensor], Tensor]


class Rows:
    """Numbers of rows at which some products give each row what it is among ``among``."""

    def __init__(self, products: Sequence[Tried], among: int, like: Tensor) -> None:
        """Of the kind and the device of ``like``."""
        self._products, self._among, self._like = products, among, like
        self._known: dict[int, bool] = {}

    def first(self, numbers: Iterable[int]) -> int:
        """The first of these at which rows do not depend on their number."""
        tried = list(islice(numbers, TRIED))
        return next((n for n in tried if n > MOST or self.at(n)), tried[0])

    def at(self, number: int) -> bool:
        """Whether this is one."""
        if number not in self._known:
            self._known[number] = all(self._same_in(product, number) for product in self._products)
        return self._known[number]

    def _same_in(self, product: Tried, number: int) -> bool:
        like = self._like
        draw = torch.Generator(like.device).manual_seed(0)
        shape = max(number, self._among), product.inputs
        x_ND = torch.randn(shape, dtype=like.dtype, device=like.device, generator=draw)
        shared = min(number, self._among)
        return torch.equal(product.run(x_ND[:number])[:shared], product.as_in(x_ND[: self._among])[:shared])


def added(x_NO: Tensor, a_map: nn.Module, y_ND: Tensor) -> Tensor:
    """``x_NO`` and what the map gives of ``y_ND``; in place where that is one product: it would be copied first."""
    if type(a_map) is nn.Linear and a_map.bias is None:
        return x_NO.addmm_(y_ND, a_map.weight.t())
    return x_NO + cast(Tensor, a_map(y_ND))


_known: weakref.WeakKeyDictionary[DiffusionLM, dict[str, Rows]] = weakref.WeakKeyDictionary()


def join_layers(model: TransformerLM) -> None:
    """Lay the weights of maps of one input side by side; what was known of their rows is forgotten."""
    before = [parameter.data_ptr() for parameter in model.parameters()]
    for layer in model.layers():
        parts = cast("Layer", layer).parts()
        join((parts.q, parts.k, parts.v))
        join((parts.gate, parts.up))
    if before != [parameter.data_ptr() for parameter in model.parameters()]:
        _known.pop(model, None)
        if model.device.type == "cuda":
            torch.cuda.empty_cache()  # where they lay is too small for what is asked for next


def of_layers(model: DiffusionLM) -> Rows:
    """Of the maps of a layer, but for the last of its MLP; all layers have the same shapes."""
    return _of(model, "layers", 1024, lambda parts: [_alone(a_map) for a_map in parts[:-1]])


def of_down(model: DiffusionLM) -> Rows:
    """Of the last map of a layer's MLP, ``added``: it has the most inputs, and so is the first whose sums are split."""
    return _of(model, "down", 1024, lambda parts: [_added(parts[-1])])


def of_joined(model: DiffusionLM) -> Rows:
    """Of the maps that lie side by side, as one product: where its rows are those of each map by itself."""
    return _of(model, "joined", 1024, _joined)


def of_head(model: DiffusionLM) -> Rows:
    """Of the output head."""
    return _of(model, "head", 512, lambda parts: [_alone(cast("TransformerLM", model).output_head())])


def multiples(rows: int, step: int) -> Iterator[int]:
    """Of a step, from so many rows on."""
    return count(-(-rows // step) * step, step)


def below_multiples(rows: int, step: int) -> Iterator[int]:
    """``LESS`` than the multiples of a step, from so many rows on."""
    return (number - LESS for number in multiples(rows + LESS, step))


def _of(
    model: DiffusionLM, name: str, among: int, products: Callable[[list[nn.Module]], list[Tried]]
) -> Rows:
    mine = _known.setdefault(model, {})
    if name not in mine:
        found: list[Tried] = []
        if hasattr(model, "layers"):
            parts = cast("Layer", next(iter(model.layers()))).parts()
            names = ("q", "k", "v", "o", "gate", "up", "down")
            found = products([getattr(parts, name) for name in names])
        mine[name] = Rows(found, among, torch.empty(0, dtype=model.dtype, device=model.device))
    return mine[name]


def _alone(a_map: nn.Module) -> Tried:
    return Tried(cast(int, a_map.in_features), a_map, a_map)


def _added(a_map: nn.Module) -> Tried:
    outputs = cast(int, a_map.out_features)

    def run(x_ND: Tensor) -> Tensor:
        return added(x_ND.new_zeros(len(x_ND), outputs), a_map, x_ND)

    return Tried(cast(int, a_map.in_features), run, run)


def _joined(parts: list[nn.Module]) -> list[Tried]:
    q, k, v, _, gate, up, _ = parts
    found = []
    # The last layer computes keys and values of more rows than queries.
    for maps in ((q, k, v), (k, v), (gate, up)):
        if (one := joined(maps)) is not None:

            def apart(x_ND: Tensor, maps: Sequence[nn.Module] = maps) -> Tensor:
                return torch.cat([a_map(x_ND) for a_map in maps], dim=-1)

            found.append(Tried(one.weight_OD.shape[1], one.__call__, apart))
    return found

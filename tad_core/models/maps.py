"""Linear maps of one input with their adapters, and the gradients of both, each in as few products as there can be.

The maps are one product where their weights lie side by side, and so are the first halves of their adapters.

Shapes: T tokens, D inputs, O outputs of all maps one after the other, R ranks of all their adapters likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from tad_core.models.float8 import Linear8, Maps8, maps8_of
from tad_core.models.joined import Joined, joined


class Adapter(NamedTuple):
    """What is added to a map: ``scale * B A x``.

    Attributes:
        a, b: its two weights.
        scale: alpha over rank.
        dropout: share of its input that is set to 0.
    """

    a: nn.Parameter
    b: nn.Parameter
    scale: float
    dropout: float = 0.0


class Map(NamedTuple):
    """A linear map, and the adapter that is on, if one is."""

    base: nn.Linear
    adapter: Adapter | None


class Laid(NamedTuple):
    """The adapters of the maps of one input, in the dtype they are computed in.

    Attributes:
        a_RD: their first weights, one after the other.
        b: of each map its second weight ``[O, R]``, its place among the outputs, that among the ranks, and its scale.
    """

    a_RD: Tensor
    b: list[tuple[Tensor, slice, slice, float]]


Group = tuple[Map, ...]

#: Maps of these kinds are computed here.
_PLAIN = (nn.Linear, Linear8)


def group_of(maps: Sequence[nn.Module]) -> Group | None:
    """Maps of one input; None if one of them is something else than a plain map with at most one LoRA on it."""
    found = []
    for part in maps:
        one = _map_of(part)
        if one is None:
            return None
        found.append(one)
    shares = {one.adapter.dropout for one in found if one.adapter is not None}
    return tuple(found) if len(shares) <= 1 else None


def _map_of(part: nn.Module) -> Map | None:
    if type(part) in _PLAIN:
        return Map(cast(nn.Linear, part), None)
    if not isinstance(part, LoraLayer) or part.merged or type(part.base_layer) not in _PLAIN:
        return None
    names = [] if part.disable_adapters else [name for name in part.active_adapters if name in part.lora_A]
    if not names:
        return Map(part.base_layer, None)
    (name, *others) = names
    drop, a, b = part.lora_dropout[name], part.lora_A[name], part.lora_B[name]
    plain = type(drop) in (nn.Identity, nn.Dropout) and a.bias is None and b.bias is None
    if others or not plain or part.lora_variant.get(name) is not None:
        return None
    share = drop.p if isinstance(drop, nn.Dropout) and drop.training else 0.0
    return Map(part.base_layer, Adapter(a.weight, b.weight, part.scaling[name], share))


def dropout_of(group: Group) -> float:
    """Share of their input that the adapters of some maps do not see."""
    return next((one.adapter.dropout for one in group if one.adapter is not None), 0.0)


def lay(groups: Sequence[Group], dtype: torch.dtype) -> list[Laid | None]:
    """The adapters of some groups, copied to where products read them; None for a group that has none."""
    found: list[Laid | None] = []
    here: list[Tensor] = []
    there: list[Tensor] = []
    for group in groups:
        on = [one.adapter for one in group if one.adapter is not None]
        if not on:
            found.append(None)
            continue
        ranks = sum(len(adapter.a) for adapter in on)
        a_RD = on[0].a.new_empty(ranks, on[0].a.shape[1], dtype=dtype)
        laid, output, rank = Laid(a_RD, []), 0, 0
        for base, adapter in group:
            if adapter is not None:
                among = slice(rank, rank + len(adapter.a))
                b_OR = torch.empty_like(adapter.b, dtype=dtype)
                laid.b.append((b_OR, slice(output, output + base.out_features), among, adapter.scale))
                here += [a_RD[among], b_OR]
                there += [adapter.a.detach(), adapter.b.detach()]
                rank = among.stop
            output += base.out_features
        found.append(laid)
    if here:
        torch._foreach_copy_(here, there)
    return found


def project(group: Group, laid: Laid | None, x_TD: Tensor, read_TD: Tensor) -> tuple[Tensor, Tensor | None]:
    """What the maps give with their adapters, side by side ``[T, O]``; and ``A x`` of each, ``[T, R]``, where adapters
    read ``read_TD`` for x."""
    together, maps = _together(group), [one.base for one in group]
    y_TO = (
        together(x_TD)
        if together is not None
        else torch.cat([F.linear(x_TD, of.weight, of.bias) for of in maps], 1)
    )
    if laid is None:
        return y_TO, None
    low_TR = read_TD @ laid.a_RD.t()
    for b_OR, outputs, among, scale in laid.b:
        y_TO[:, outputs].addmm_(low_TR[:, among], b_OR.t(), alpha=scale)
    return y_TO, low_TR


def pull(group: Group, dy_TO: Tensor) -> Tensor:
    """Gradient ``[T, D]`` of the input by way of the maps alone."""
    together, maps = _together(group), [one.base for one in group]
    if together is not None:
        return together.pull(dy_TO)
    pieces = torch.split(dy_TO, [len(of.weight) for of in maps], dim=1)
    return torch.stack([piece @ of.weight for piece, of in zip(pieces, maps, strict=True)]).sum(0)


def _together(group: Group) -> Joined | Maps8 | None:
    """The maps as one; None where they are apart, which those of 8 bits are not."""
    maps = [one.base for one in group]
    return maps8_of(maps) or joined(maps)


def pull_low(laid: Laid, dy_TO: Tensor) -> Tensor:
    """Gradient ``[T, R]`` of what ``A x`` is, by way of the adapters."""
    low_TR = dy_TO.new_empty(len(dy_TO), len(laid.a_RD))
    for b_OR, outputs, among, scale in laid.b:
        torch.mm(dy_TO[:, outputs], b_OR, out=low_TR[:, among])
        if scale != 1.0:
            low_TR[:, among] *= scale
    return low_TR


class Sums(NamedTuple):
    """Where gradients of the adapters of some maps are added up.

    Attributes:
        a_RD: of the first weights, one after the other.
        b: of each second weight.
    """

    a_RD: Tensor
    b: list[Tensor]

    @classmethod
    def of(cls, group: Group, exact: bool = False) -> Sums | None:
        """Zeros in the dtype of the weights, or ``exact`` in no less than float32; None for maps without adapters."""
        on = [one.adapter for one in group if one.adapter is not None]
        if not on:
            return None
        a = on[0].a
        dtype = torch.promote_types(a.dtype, torch.float32) if exact else a.dtype
        ranks = sum(len(adapter.a) for adapter in on)
        b = [torch.zeros_like(adapter.b, dtype=dtype) for adapter in on]
        return cls(a.new_zeros(ranks, a.shape[1], dtype=dtype), b)

    def each(self) -> list[Tensor]:
        """Of A and B of each adapter."""
        parts = torch.split(self.a_RD, [b_OR.shape[1] for b_OR in self.b])
        return [tensor for pair in zip(parts, self.b, strict=True) for tensor in pair]


def add_gradients(
    sums: Sums, laid: Laid, dy_TO: Tensor, low_TR: Tensor, pulled_TR: Tensor, x_TD: Tensor
) -> None:
    """Those of the adapters' weights.

    Args:
        sums: what they are added to.
        laid: the adapters.
        dy_TO: gradient of what the maps give.
        low_TR: ``A x`` of each.
        pulled_TR: its gradient.
        x_TD: what the adapters read.
    """
    _add(sums.a_RD, pulled_TR.t(), x_TD, 1.0)
    for b_OR, (_, outputs, among, scale) in zip(sums.b, laid.b, strict=True):
        _add(b_OR, dy_TO[:, outputs].t(), low_TR[:, among], scale)


def _add(total: Tensor, x: Tensor, y: Tensor, scale: float) -> None:
    """A product, not rounded to the dtype of its factors before it is added, where the device can do that."""
    if x.dtype == total.dtype:
        total.addmm_(x, y, alpha=scale)
    elif x.is_cuda:
        torch.addmm(total, x, y, out_dtype=total.dtype, alpha=scale, out=total)
    else:
        total.addmm_(x.to(total.dtype), y.to(total.dtype), alpha=scale)

"""All layers but the last in training, forward and back, as one step of autograd.

Shapes: T tokens, D hidden, R rows of an adapter's first weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tad_core.models.adapted import Adapted, Kept, backward, forward
from tad_core.models.maps import Sums, dropout_of


def weights_of(layers: Sequence[Adapted]) -> list[nn.Parameter]:
    """A and B of every adapter that is on, layer by layer."""
    on = [
        one.adapter for layer in layers for group in layer.groups for one in group if one.adapter is not None
    ]
    return [weight for adapter in on for weight in (adapter.a, adapter.b)]


def shares_of(layers: Sequence[Adapted]) -> tuple[float, ...]:
    """Share of its input that the adapters of each group drop, layer by layer."""
    return tuple(dropout_of(group) for layer in layers for group in layer.groups)


# --- forward and backward of all ------------------------------------------------------------------------


def through(
    layers: Sequence[Adapted], x_TD: Tensor, keep: bool = False, checkpointed: bool = False
) -> tuple[Tensor, list[Kept | tuple[Tensor, Tensor | None]]]:
    """The residual stream behind the layers; with ``keep`` what the way back needs, of ``checkpointed`` layers what
    they got alone."""
    more_TD: Tensor | None = None
    kept: list[Kept | tuple[Tensor, Tensor | None]] = []
    for layer in layers:
        given = (x_TD, more_TD)
        x_TD, more_TD, found = forward(layer, x_TD, more_TD)
        if keep:
            kept.append(given if checkpointed else found)
    return x_TD if more_TD is None else x_TD + more_TD, kept


def back(
    layers: Sequence[Adapted],
    kept: list[Kept | tuple[Tensor, Tensor | None]],
    pulled_TD: Tensor,
    sums: Sequence[Sequence[Sums | None]],
) -> None:
    """Add the gradients of all adapters' weights to ``sums``; ``kept`` is emptied along the way."""
    for i, layer in reversed(list(enumerate(layers))):
        of = kept.pop()
        if not isinstance(of, Kept):
            *_, of = forward(layer, *of)
        found = backward(layer, of, pulled_TD, pulled_TD, sums[i], before=i > 0)
        if found is not None:
            pulled_TD = found


def sums_of(layers: Sequence[Adapted], exact: bool = False) -> list[list[Sums | None]]:
    """Zeros for the gradients of all adapters' weights, in their dtype; ``exact``: in no less than float32."""
    return [[Sums.of(group, exact) for group in layer.groups] for layer in layers]


def gradients_in(sums: Sequence[Sequence[Sums | None]]) -> list[Tensor]:
    """In the order of ``weights_of``."""
    return [tensor for layer in sums for group in layer if group is not None for tensor in group.each()]


class Run(Protocol):
    """Whoever runs the layers of one micro-batch."""

    def forward(self, x_TD: Tensor) -> Tensor:
        """The residual stream behind them."""

    def backward(self, pulled_TD: Tensor) -> Sequence[Tensor | None]:
        """Gradients of ``weights_of``; None for those that were added elsewhere."""


class Step(torch.autograd.Function):
    """The layers as one step of autograd: whoever runs them has a ``forward`` and a ``backward``."""

    @staticmethod
    def forward(ctx: Any, run: Run, x_TD: Tensor, *weights: Tensor) -> Tensor:
        """Autograd is to see the weights; they are read elsewhere."""
        ctx.run = run
        return run.forward(x_TD)

    @staticmethod
    def backward(ctx: Any, pulled_TD: Tensor) -> tuple[Tensor | None, ...]:
        """Nothing before the layers is trained."""
        gradients = ctx.run.backward(pulled_TD)
        return None, None, *gradients


class Eager:
    """Kernel by kernel; gradients go to autograd."""

    def __init__(
        self,
        layers: Sequence[Adapted],
        checkpointed: bool,
        sums: Sequence[Sequence[Sums | None]] | None = None,
    ) -> None:
        """``sums``: what gradients are added to, in place of zeros."""
        self._layers, self._checkpointed, self._sums = seeded(layers), checkpointed, sums
        self._kept: list[Kept | tuple[Tensor, Tensor | None]] = []

    def forward(self, x_TD: Tensor) -> Tensor:
        """See ``Run``."""
        x_TD, self._kept = through(self._layers, x_TD, True, self._checkpointed)
        return x_TD

    def backward(self, pulled_TD: Tensor) -> list[Tensor]:
        """See ``Run``."""
        sums = sums_of(self._layers) if self._sums is None else self._sums
        back(self._layers, self._kept, pulled_TD.contiguous(), sums)
        return gradients_in(sums)


def seeded(layers: Sequence[Adapted]) -> Sequence[Adapted]:
    """The layers with their dropout drawn, if some of them have it."""
    if not any(shares_of(layers)):
        return layers
    return [replace(layer, seed_G=seed_G) for layer, seed_G in zip(layers, drawn(layers), strict=True)]


def drawn(layers: Sequence[Adapted]) -> Tensor:
    """Seeds of dropout, ``[layers, groups]`` int32, by the device's own random numbers."""
    shape = len(layers), len(layers[0].groups)
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, device=layers[0].cos_TE.device)

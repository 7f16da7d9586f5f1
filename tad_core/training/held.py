"""The gradients of a step's micro-batches but the last, for an optimizer that is to see gradients once a step.

DeepSpeed's adds every gradient that it sees up over all processes, and waits for that. So these micro-batches do not go
through its engine: their gradients are added up here, and the way back of the last gives them together with its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


class Held:
    """The gradients of some weights, of the micro-batches of a step so far."""

    def __init__(self, weights: Sequence[nn.Parameter]) -> None:
        self._weights = list(weights)
        self._sums: dict[int, Tensor] = {}

    def add(self, loss: Tensor) -> None:
        """Those of a micro-batch, in float32; the weights and what watches them see nothing of it."""
        found = torch.autograd.grad(loss, self._weights, allow_unused=True)
        new = {i: gradient for i, gradient in enumerate(found) if gradient is not None}
        for i in new.keys() - self._sums.keys():
            dtype = torch.promote_types(new[i].dtype, torch.float32)
            self._sums[i] = new[i].to(dtype, copy=True)
            del new[i]
        if new:
            torch._foreach_add_([self._sums[i] for i in new], list(new.values()))

    def with_all(self, loss: Tensor) -> Tensor:
        """The loss of the last micro-batch of a step, whose way back gives theirs as well."""
        sums, self._sums = self._sums, {}
        return cast(Tensor, _Given.apply(loss, list(sums.values()), *(self._weights[i] for i in sums)))  # type: ignore[no-untyped-call]


class _Given(torch.autograd.Function):
    """A loss, and what else its way back gives some weights."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, sums: list[Tensor], *weights: Tensor) -> Tensor:
        ctx.sums = sums
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, pulled: Tensor) -> tuple[Tensor | None, ...]:
        """``pulled``: by what the loss was scaled since; autograd rounds to the weights' dtype."""
        return pulled, None, *(total * pulled for total in ctx.sums)

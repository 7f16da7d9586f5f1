"""Kernels that torch.compile makes of a function, such that a row comes out as it does in any company.

Compiled as it comes, a function's kernels depend on the number of rows that it is first called with (whether a sum is
split), on timings on the device (how large its pieces are), and on what else of the process was compiled before: after
eight variants of one function the next is not compiled at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

#: What a kernel is compiled for, whatever it is first needed for; two numbers that are not equal stay apart.
SIZES = {"T": 1024, "N": 768}


def compiled(function: Callable[..., Any], axes: Sequence[str]) -> Callable[..., Any]:
    """The function, compiled at the first call and then the same for any number of rows from two on.

    Args:
        function: of tensors and tuples of them; all sizes but those of first axes never change.
        axes: for each argument, a name of ``SIZES`` for the first axis of its tensors, or nothing for what has none.
    """
    fast = torch.compile(_copy(function), options=_options())
    made = False

    def run(*arguments: Any) -> Any:
        nonlocal made
        if not made:
            fast(*(_standing_in(x, axis) if axis else x for x, axis in zip(arguments, axes, strict=True)))
            made = True
        return fast(*arguments)

    return run


def compiled_as_needed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled for any number of rows when it is first called with its parts as they then are.

    For training, where parts are with and without each adapter, with and without gradient, and rows need not come
    out as in other company.

    Args:
        function: of tensors; all sizes but those of first axes never change.
    """
    fast = torch.compile(_copy(function))

    def run(*arguments: Any) -> Any:
        for tensor in arguments:
            if isinstance(tensor, Tensor) and tensor.ndim:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return fast(*arguments)

    return run


def prepare_training() -> None:
    """Have kernels compiled as a training needs them; call before its first forward."""
    # Variants, times two kinds of PEFT's layers: the default of 8 would be met, and the next not be compiled.
    torch._dynamo.config.recompile_limit = 64
    # Norms, the product of gate and up and an adapter's weights in bfloat16 are made again in the backward pass,
    # which takes next to no time: by default what a matrix product reads is kept instead.
    torch._functorch.config.ban_recompute_materialized_backward = False


def _copy(function: Callable[..., Any]) -> FunctionType:
    """Another piece of code: variants are counted for each."""
    assert isinstance(function, FunctionType)
    return FunctionType(
        function.__code__.replace(), function.__globals__, function.__name__, function.__defaults__
    )


def _options() -> dict[str, Any]:
    """No choice by timing, where this torch has such a mode."""
    import torch._inductor.config as inductor

    return {"deterministic": True} if hasattr(inductor, "deterministic") else {}


def _standing_in(argument: Any, axis: str) -> Any:
    def of(tensor: Tensor) -> Tensor:
        if not tensor.ndim:
            return tensor
        zeros = tensor.new_zeros(SIZES[axis], *tensor.shape[1:])
        torch._dynamo.maybe_mark_dynamic(zeros, 0)
        return zeros

    return tree_map_only(Tensor, of, argument)

"""What lies between the matrix products of a layer that is trained through, and its derivatives.

Each function reads and writes memory once when compiled. The weights of norms are frozen: no gradient is made for them.

Shapes: T tokens, D hidden, F inside the MLP, H heads of queries and keys together, E head size, O outputs of q, k, v.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._triton import has_triton

from tad_core.models.bits import mixed
from tad_core.models.compiling import compiled_as_needed


class Drop(NamedTuple):
    """Dropout on the input of adapters.

    Attributes:
        share: of the elements, which are set to 0.
        seed: int32, a number; which these are is a hash of it and of their place, so that it need not be kept.
    """

    share: float
    seed: Tensor


def dropped(x_TD: Tensor, drop: Drop | None) -> Tensor:
    """What adapters read of their maps' input, or the gradient of the latter by that of the former."""
    if drop is None:
        return x_TD
    count, size = x_TD.shape
    rows_T, columns_D = (torch.arange(n, dtype=torch.int32, device=x_TD.device) for n in (count, size))
    draw_TD = mixed(mixed(rows_T[:, None] * size + columns_D) ^ drop.seed) & 0x7FFFFFFF
    return torch.where(draw_TD >= int(drop.share * 2**31), x_TD / (1 - drop.share), 0.0).to(x_TD.dtype)


def enter(
    x_TD: Tensor, more_TD: Tensor | None, weight_D: Tensor, eps: float, drop: Drop | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The residual stream with what is added to it, its norm (see ``RMSNorm``), and what adapters read of this."""
    if more_TD is not None:
        x_TD = x_TD + more_TD
    normed_TD = again(x_TD, weight_D, eps, None)
    return x_TD, normed_TD, dropped(normed_TD, drop)


def leave(
    x_TD: Tensor,
    weight_D: Tensor,
    eps: float,
    pulled_TD: Tensor,
    more_TD: Tensor | None,
    past_TD: Tensor,
    drop: Drop | None,
) -> tuple[Tensor, Tensor]:
    """Gradient of the residual stream before a norm, and what adapters read of the norm once more.

    Args:
        x_TD: what was normalised.
        weight_D: of the norm.
        eps: of the norm.
        pulled_TD: gradient of the norm's result, by the maps.
        more_TD: gradient of what their adapters read; None if they have none.
        past_TD: gradient of ``x_TD`` by what goes past the norm.
        drop: of the adapters.
    """
    hat_TD, scale_T1 = _hat(x_TD, eps)
    normed_TD = weight_D * hat_TD.to(x_TD.dtype)
    pulled = _sum(pulled_TD, more_TD, drop) * weight_D.float()
    straight = pulled - hat_TD * (pulled * hat_TD).mean(-1, keepdim=True)
    return (past_TD.float() + straight * scale_T1).to(x_TD.dtype), dropped(normed_TD, drop)


def again(x_TD: Tensor, weight_D: Tensor, eps: float, drop: Drop | None) -> Tensor:
    """What adapters read of the norm."""
    hat_TD, _ = _hat(x_TD, eps)
    return dropped(weight_D * hat_TD.to(x_TD.dtype), drop)


def _hat(x_TD: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    x32 = x_TD.float()
    scale_T1 = torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps)
    return x32 * scale_T1, scale_T1


def rotate(y_TO: Tensor, cos_TE: Tensor, sin_TE: Tensor, heads: int) -> Tensor:
    """q, k and v side by side, the first so many heads rotated; see ``TransformerLM.rotations``."""
    size = cos_TE.shape[1]
    x_THE = y_TO[:, : heads * size].view(len(y_TO), heads, size)
    return torch.cat((_turned(x_THE, cos_TE, sin_TE).flatten(1), y_TO[:, heads * size :]), dim=1)


def rotate_back(q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Gradient of what ``rotate`` read, ``[T, O]``, by those of queries, keys and values."""
    # y = x cos + swap(x) sin, and swap is its own transpose: dx = dy cos + swap(dy sin), where swap(sin) = -sin.
    turned = (_turned(x_THE, cos_TE, -sin_TE).flatten(1) for x_THE in (q_THE, k_TKE))
    return torch.cat((*turned, v_TKE.flatten(1)), dim=1)


def _turned(x_THE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    x = x_THE.to(cos_TE.dtype)
    swapped = x.view(*x.shape[:-1], 2, -1).flip(-2).view(x.shape)
    return (x * cos_TE[:, None] + swapped * sin_TE[:, None]).to(x_THE.dtype)


def gate(y_T2F: Tensor, drop: Drop | None) -> tuple[Tensor, Tensor]:
    """SwiGLU of gate and up side by side, ``[T, F]``; and what adapters read of it."""
    gate_TF, up_TF = y_T2F.chunk(2, dim=-1)
    gated_TF = F.silu(gate_TF) * up_TF
    return gated_TF, dropped(gated_TF, drop)


def gate_back(
    y_T2F: Tensor, pulled_TF: Tensor, more_TF: Tensor | None, drop: Drop | None
) -> tuple[Tensor, Tensor]:
    """Gradient of gate and up, ``[T, 2 F]``, and what adapters read of ``gate``'s result once more.

    Args:
        y_T2F: gate and up.
        pulled_TF: gradient of ``gate``'s result, by the map.
        more_TF: gradient of what its adapter reads; None if it has none.
        drop: of the adapter.
    """
    gate_TF, up_TF = (half.float() for half in y_T2F.chunk(2, dim=-1))
    pulled = _sum(pulled_TF, more_TF, drop)
    open_TF = torch.sigmoid(gate_TF)
    silu_TF = gate_TF * open_TF
    slope_TF = open_TF * (1 + gate_TF * (1 - open_TF))
    both = torch.cat((pulled * up_TF * slope_TF, pulled * silu_TF), dim=-1)
    return both.to(y_T2F.dtype), dropped((silu_TF * up_TF).to(y_T2F.dtype), drop)


def added(x_TD: Tensor, more_TD: Tensor, drop: Drop | None) -> Tensor:
    """Gradient of an input, by that of the maps and that of what adapters read."""
    return _sum(x_TD, more_TD, drop).to(x_TD.dtype)


def _sum(x_TD: Tensor, more_TD: Tensor | None, drop: Drop | None) -> Tensor:
    return x_TD.float() if more_TD is None else x_TD.float() + dropped(more_TD, drop).float()


class Pieces:
    """These functions, as they are or compiled."""

    def __init__(self, compiled: bool) -> None:
        def made(function: Callable[..., Any]) -> Callable[..., Any]:
            return compiled_as_needed(function) if compiled else function

        self.enter, self.leave, self.again = made(enter), made(leave), made(again)
        self.gate, self.gate_back = made(gate), made(gate_back)
        self.dropped, self.added = made(dropped), made(added)
        self._rotate, self._rotate_back = made(rotate), made(rotate_back)

    def rotate(self, y_TO: Tensor, cos_TE: Tensor, sin_TE: Tensor, heads: int) -> Tensor:
        """See ``rotate``; ``y_TO`` itself may be what comes back."""
        kernel = _kernel(y_TO, cos_TE)
        if kernel is None:
            return cast(Tensor, self._rotate(y_TO, cos_TE, sin_TE, heads))
        x_TO = y_TO[:, : heads * cos_TE.shape[1]]
        kernel.turn(x_TO, x_TO, cos_TE, sin_TE)
        return y_TO

    def rotate_back(
        self, q_THE: Tensor, k_TKE: Tensor, v_TKE: Tensor, cos_TE: Tensor, sin_TE: Tensor
    ) -> Tensor:
        """See ``rotate_back``."""
        kernel = _kernel(q_THE, cos_TE)
        if kernel is None:
            return cast(Tensor, self._rotate_back(q_THE, k_TKE, v_TKE, cos_TE, sin_TE))
        q_TO, k_TO, v_TO = (x.flatten(1) for x in (q_THE, k_TKE, v_TKE))
        y_TO = q_TO.new_empty(len(q_TO), sum(x.shape[1] for x in (q_TO, k_TO, v_TO)))
        q, k, v = torch.split(y_TO, [x.shape[1] for x in (q_TO, k_TO, v_TO)], dim=1)
        kernel.turn(q_TO, q, cos_TE, sin_TE, back=True)
        kernel.turn(k_TO, k, cos_TE, sin_TE, back=True)
        kernel.copy(v_TO, v)
        return y_TO


def _kernel(x: Tensor, cos_TE: Tensor) -> Any:
    """The module with a kernel for what is on a GPU; None where there is none."""
    if not (x.is_cuda and has_triton()):
        return None
    from tad_core.models import rotary_kernel

    return rotary_kernel if rotary_kernel.rotates(cos_TE.shape[1]) else None

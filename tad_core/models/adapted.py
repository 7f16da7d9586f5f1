"""A layer with its adapters, forward and backward written out: what a step of training computes on an accelerator.

Between products is one kernel each. Kept for the backward pass is what only a product of all of a map could make again:
the residual stream twice, queries, keys and values, what the attention gave, gate and up. Norms, the product of gate
and up, and the adapters' weights in the base's dtype are made again.

Shapes: T tokens, D hidden, O outputs of q, k and v together, F inside the MLP, H heads, K key/value heads, E head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from tad_core.models.attention import attend_and_keep, attend_back
from tad_core.models.between import Drop, Pieces
from tad_core.models.layout import Segments
from tad_core.models.maps import (
    Group,
    Laid,
    Sums,
    add_gradients,
    dropout_of,
    group_of,
    lay,
    project,
    pull,
    pull_low,
)

if TYPE_CHECKING:
    from tad_core.models.transformer import Parts


@dataclass(frozen=True)
class Adapted:
    """A layer and where its tokens are.

    Attributes:
        groups: q, k and v; o; gate and up; down.
        norms: weight and epsilon of the attention's and of the MLP's.
        heads: of queries, and of keys.
        cos_TE, sin_TE: rotations, see ``TransformerLM.rotations``.
        tokens: sequences.
        pieces: what is computed between products.
        seed_G: int32, of the dropout of each group; None without dropout.
    """

    groups: tuple[Group, Group, Group, Group]
    norms: tuple[tuple[Tensor, float], tuple[Tensor, float]]
    heads: tuple[int, int]
    cos_TE: Tensor
    sin_TE: Tensor
    tokens: Segments
    pieces: Pieces
    seed_G: Tensor | None = None

    @property
    def dropout(self) -> bool:
        """Whether some adapter does not see all of its input."""
        return any(dropout_of(group) > 0 for group in self.groups)

    def drops(self) -> list[Drop | None]:
        """By groups."""
        shares = [dropout_of(group) for group in self.groups]
        if self.seed_G is None:
            assert not any(shares), "dropout is drawn"
            return [None] * len(shares)
        return [Drop(share, self.seed_G[i]) if share else None for i, share in enumerate(shares)]

    def split(self, y_TO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head, out of what lies side by side."""
        q, k = self.heads
        y_THE = y_TO.view(len(y_TO), q + 2 * k, -1)
        return y_THE[:, :q], y_THE[:, q : q + k], y_THE[:, q + k :]


def adapted(
    parts: Parts,
    size: int,
    dtype: torch.dtype,
    cos_TE: Tensor,
    sin_TE: Tensor,
    tokens: Segments,
    pieces: Pieces,
) -> Adapted | None:
    """A layer with heads of this size; None where it holds something else than plain maps with LoRA, or where products
    are to be taken in another dtype than this one of the residual stream."""
    groups = [
        group_of(maps)
        for maps in ((parts.q, parts.k, parts.v), (parts.o,), (parts.gate, parts.up), (parts.down,))
    ]
    if any(group is None or not _computes_in(dtype, group) for group in groups):
        return None
    norms = (parts.attention_norm, parts.mlp_norm)
    q, k, _ = groups[0] or ()
    return Adapted(
        cast("tuple[Group, Group, Group, Group]", tuple(groups)),
        cast(Any, tuple((norm.weight, norm.eps) for norm in norms)),
        (q.base.out_features // size, k.base.out_features // size),
        cos_TE,
        sin_TE,
        tokens,
        pieces,
    )


def _computes_in(dtype: torch.dtype, group: Group) -> bool:
    """Whether autocast, or else the adapters themselves, ask for products in this dtype."""
    kind = group[0].base.weight.device.type
    wanted = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return all(
        base.weight.dtype == dtype == (wanted or (dtype if adapter is None else adapter.a.dtype))
        for base, adapter in group
    )


class Kept(NamedTuple):
    """What a layer keeps for its backward pass.

    Attributes:
        x_TD: the residual stream.
        qkv_TO: queries, keys (both rotated) and values, side by side.
        mixed_TD: what the attention gave.
        middle_TD: the residual stream behind it.
        gate_up_T2F: gate and up, side by side.
        low: by groups, ``A x`` of their adapters.
        attention: what else its backward pass wants to know.
    """

    x_TD: Tensor
    qkv_TO: Tensor
    mixed_TD: Tensor
    middle_TD: Tensor
    gate_up_T2F: Tensor
    low: tuple[Tensor | None, ...]
    attention: tuple[Tensor, ...]


def forward(layer: Adapted, x_TD: Tensor, more_TD: Tensor | None) -> tuple[Tensor, Tensor, Kept]:
    """The residual stream, what is still to be added to it, and what the backward pass wants to know.

    Args:
        layer: the layer.
        x_TD: the residual stream before it.
        more_TD: what is still to be added to that; None for nothing.
    """
    pieces, (qkv, o, gate_up, down) = layer.pieces, layer.groups
    (first_D, first_eps), (second_D, second_eps) = layer.norms
    of_qkv, of_o, of_gate_up, of_down = lay(layer.groups, x_TD.dtype)
    drops = layer.drops()
    x_TD, normed_TD, read_TD = pieces.enter(x_TD, more_TD, first_D, first_eps, drops[0])
    y_TO, low_qkv = project(qkv, of_qkv, normed_TD, read_TD)
    y_TO = pieces.rotate(y_TO, layer.cos_TE, layer.sin_TE, sum(layer.heads))
    mixed_TD, attention = attend_and_keep(*layer.split(y_TO), layer.tokens)
    out_TD, low_o = project(o, of_o, mixed_TD, _read(pieces, mixed_TD, drops[1]))
    middle_TD, normed_TD, read_TD = pieces.enter(x_TD, out_TD, second_D, second_eps, drops[2])
    gate_up_T2F, low_gate_up = project(gate_up, of_gate_up, normed_TD, read_TD)
    more_TD, low_down = project(down, of_down, *pieces.gate(gate_up_T2F, drops[3]))
    low = (low_qkv, low_o, low_gate_up, low_down)
    return middle_TD, more_TD, Kept(x_TD, y_TO, mixed_TD, middle_TD, gate_up_T2F, low, attention)


def _read(pieces: Pieces, x_TD: Tensor, drop: Drop | None) -> Tensor:
    return x_TD if drop is None else cast(Tensor, pieces.dropped(x_TD, drop))


def backward(
    layer: Adapted,
    kept: Kept,
    past_TD: Tensor,
    pulled_TD: Tensor,
    sums: Sequence[Sums | None],
    before: bool = True,
) -> Tensor | None:
    """Gradient of the residual stream before the layer, by those of the two parts of it behind.

    Args:
        layer: the layer.
        kept: what its forward kept.
        past_TD: gradient of the residual stream behind.
        pulled_TD: gradient of what is still to be added to that.
        sums: what the gradients of the adapters' weights are added to, by groups.
        before: whether something before the layer is trained; None comes back if not.
    """
    way = _Way(layer, kept, lay(layer.groups, pulled_TD.dtype), layer.drops(), sums)
    return way.before_attention(way.behind_attention(past_TD, pulled_TD), before)


class _Way(NamedTuple):
    """The way back through a layer; what its two halves need is let go between them."""

    layer: Adapted
    kept: Kept
    laid: list[Laid | None]
    drops: list[Drop | None]
    sums: Sequence[Sums | None]

    def behind_attention(self, past_TD: Tensor, pulled_TD: Tensor) -> Tensor:
        """Gradient of the residual stream between attention and MLP."""
        pieces, (_, _, gate_up, down) = self.layer.pieces, self.layer.groups
        weight_D, eps = self.layer.norms[1]
        pulled_TR, more_TF = self._low(3, pulled_TD)
        both_T2F, gated_TF = pieces.gate_back(
            self.kept.gate_up_T2F, pull(down, pulled_TD), more_TF, self.drops[3]
        )
        del more_TF
        self._note(3, pulled_TD, pulled_TR, gated_TF)
        del gated_TF
        pulled_TR, more_TD = self._low(2, both_T2F)
        middle_TD, normed_TD = pieces.leave(
            self.kept.middle_TD, weight_D, eps, pull(gate_up, both_T2F), more_TD, past_TD, self.drops[2]
        )
        self._note(2, both_T2F, pulled_TR, normed_TD)
        return cast(Tensor, middle_TD)

    def before_attention(self, middle_TD: Tensor, before: bool) -> Tensor | None:
        """Gradient of the residual stream before the layer."""
        layer, kept, pieces, (qkv, o, _, _) = self.layer, self.kept, self.layer.pieces, self.layer.groups
        weight_D, eps = layer.norms[0]
        pulled_TR, more_TD = self._low(1, middle_TD)
        mixed_TD = pull(o, middle_TD)
        mixed_TD = mixed_TD if more_TD is None else pieces.added(mixed_TD, more_TD, self.drops[1])
        self._note(1, middle_TD, pulled_TR, _read(pieces, kept.mixed_TD, self.drops[1]))
        q, k, v = attend_back(
            mixed_TD, *layer.split(kept.qkv_TO), kept.mixed_TD, kept.attention, layer.tokens
        )
        y_TO = pieces.rotate_back(q, k, v, layer.cos_TE, layer.sin_TE)
        del q, k, v, mixed_TD
        pulled_TR, more_TD = self._low(0, y_TO, before)
        x_TD: Tensor | None = None
        if before:
            x_TD, normed_TD = pieces.leave(
                kept.x_TD, weight_D, eps, pull(qkv, y_TO), more_TD, middle_TD, self.drops[0]
            )
        else:
            normed_TD = pieces.again(kept.x_TD, weight_D, eps, self.drops[0])
        self._note(0, y_TO, pulled_TR, normed_TD)
        return x_TD

    def _low(self, i: int, dy_TO: Tensor, before: bool = True) -> tuple[Tensor | None, Tensor | None]:
        """Of what ``A x`` is in the adapters of a group, and of what they read."""
        of = self.laid[i]
        if of is None:
            return None, None
        pulled_TR = pull_low(of, dy_TO)
        return pulled_TR, pulled_TR @ of.a_RD if before else None

    def _note(self, i: int, dy_TO: Tensor, pulled_TR: Tensor | None, read_TD: Tensor) -> None:
        of, to, low_TR = self.laid[i], self.sums[i], self.kept.low[i]
        if of is not None and to is not None and low_TR is not None and pulled_TR is not None:
            add_gradients(to, of, dy_TO, low_TR, pulled_TR, read_TD)

"""One forward over several sequences laid end to end, without padding: what decoding and training run.

Every linear map sees one long row of tokens; attention alone knows where a sequence begins and ends. So nothing is
spent on padding, no key mask is needed, and what a sequence gives does not depend on its company. A forward may
compute some tokens of a sequence only, against keys and values that a cache kept of the others.

Shapes: T tokens computed in this forward, of all sequences; B sequences; N rows asked for; C cells of the cache; H
heads, K key/value heads, E head size; D hidden, F inside the MLP.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tad_core.models.adapted import Adapted, adapted
from tad_core.models.attention import attend
from tad_core.models.between import Pieces
from tad_core.models.compiling import compiled, compiled_as_needed
from tad_core.models.joined import Joined, joined
from tad_core.models.layout import Keys, Packing, Prefixes
from tad_core.models.recorded import Stack
from tad_core.models.rows import added, multiples, of_down, of_joined
from tad_core.models.together import project

if TYPE_CHECKING:
    from tad_core.models.transformer import Layer, Parts, TransformerLM


#: The last map of the MLP gets multiples of so many rows where as many as there are would not do.
DOWN_STEP = 64
#: Of more rows, maps of one input keep a GPU as busy by themselves.
JOINED_ROWS = 512


class PackedCache:
    """Keys (rotated) and values of every layer, ``[C, K, E]`` each, written in place.

    Sequence b of so many has the cells from ``b * capacity`` on; one more cell takes what nobody reads.
    """

    def __init__(self, model: TransformerLM, sequences: int, capacity: int) -> None:
        """Room for ``sequences`` of at most ``capacity`` tokens.

        Raises:
            torch.OutOfMemoryError: the device has no room for them.
        """
        layers = len(list(model.layers()))
        shape = (layers, 2, sequences * capacity + 1, *model.key_shape())
        self._kept = torch.zeros(shape, dtype=model.dtype, device=model.device)

    def renew(self, layer: int, cell_T: Tensor, k_TKE: Tensor, v_TKE: Tensor) -> tuple[Tensor, Tensor]:
        """Write these cells of a layer; returns all its keys and values."""
        keys, values = self._kept[layer]
        keys.index_copy_(0, cell_T, k_TKE.to(keys.dtype))
        values.index_copy_(0, cell_T, v_TKE.to(values.dtype))
        return keys, values


class Begun(NamedTuple):
    """A forward before its last layer.

    Attributes:
        x_TD: what the last layer gets.
        cos_TE, sin_TE: rotations of the tokens' places.
    """

    x_TD: Tensor
    cos_TE: Tensor
    sin_TE: Tensor


def run(
    model: TransformerLM, ids_T: Tensor, packing: Packing, cache: PackedCache | None, fused: bool
) -> Tensor:
    """Final, normalised rows ``[N, D]`` as the layers give them, before a family's shift.

    The last layer computes keys and values of all tokens and everything else of the wanted rows alone. With
    ``model.gradient_checkpointing``, in training, layers are computed again in the backward pass.
    """
    return end(model, begin(model, ids_T, packing, cache, fused), packing, cache, fused)


def begin(
    model: TransformerLM, ids_T: Tensor, packing: Packing, cache: PackedCache | None, fused: bool
) -> Begun:
    """All layers but the last, which do not depend on what rows are wanted."""
    x_TD = ids_T if ids_T.is_floating_point() else model.token_embedding()(ids_T)
    cos_TE, sin_TE = model.rotations(packing.at_T, (packing.keys or packing.tokens).longest, x_TD.dtype)
    *layers, _ = model.layers()
    written = _written_out(model, layers, packing, x_TD, cos_TE, sin_TE) if fused and cache is None else None
    if written is not None:
        stack, found = written
        x_TD = stack(found, x_TD, model.gradient_checkpointing and model.training)
        return Begun(x_TD, cos_TE, sin_TE)
    for i, layer in enumerate(layers):
        x_TD = _step(model, layer, i, False, packing, cache, fused)(x_TD, cos_TE, sin_TE)
    return Begun(x_TD, cos_TE, sin_TE)


def _written_out(
    model: TransformerLM,
    layers: Sequence[nn.Module],
    packing: Packing,
    x_TD: Tensor,
    cos_TE: Tensor,
    sin_TE: Tensor,
) -> tuple[Stack, list[Adapted]] | None:
    """The layers as ``adapted`` computes them, and who runs them; None where they are left to autograd."""
    kernels = _kernels_of(model)
    # Kernel by kernel they are slower than what is compiled as a whole, and other dtypes cannot be recorded on a GPU.
    recordable = not x_TD.is_cuda or x_TD.dtype in (torch.bfloat16, torch.float16)
    if (
        not isinstance(kernels, _Training)
        or kernels.stack is None
        or packing.keys is not None
        or not recordable
        or not layers
        or x_TD.requires_grad  # what is written out ends at the layers
    ):
        return None
    found = []
    for layer in cast("Sequence[Layer]", layers):
        one = adapted(
            layer.parts(), layer.head_size, x_TD.dtype, cos_TE, sin_TE, packing.tokens, kernels.pieces
        )
        if one is None:
            return None
        found.append(one)
    return kernels.stack, found


def end(
    model: TransformerLM, begun: Begun, packing: Packing, cache: PackedCache | None, fused: bool
) -> Tensor:
    """The last layer and the norm behind it: of the same packing, whose wanted rows may have been chosen since."""
    *layers, last = model.layers()
    hidden_ND = _step(model, last, len(layers), True, packing, cache, fused)(*begun)
    return cast(Tensor, model.final_norm()(hidden_ND))


def _step(
    model: TransformerLM, layer: nn.Module, i: int, last: bool, packing: Packing, cache: PackedCache | None, fused: bool
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:  # fmt: skip
    kernels = _kernels_of(model) if fused else _PLAIN
    step = partial(_layer, kernels, cast("Layer", layer), i, last, packing, cache)
    if model.gradient_checkpointing and model.training:
        return partial(torch.utils.checkpoint.checkpoint, step, use_reentrant=False)
    return step


def _layer(
    kernels: _Kernels, layer: Layer, i: int, last: bool, packing: Packing, cache: PackedCache | None,
    x_TD: Tensor, cos_TE: Tensor, sin_TE: Tensor,
) -> Tensor:  # fmt: skip
    parts, size = layer.parts(), layer.head_size
    if last:
        q, k, v = kernels.before_last(parts, size, x_TD, cos_TE, sin_TE, packing.wanted_N)
        queries, x_TD = packing.wanted, x_TD[packing.wanted_N]
    else:
        q, k, v = kernels.before(parts, size, x_TD, cos_TE, sin_TE)
        queries = packing.tokens
    keys = (packing.wanted_keys if last else None) or packing.keys or packing.tokens
    if isinstance(keys, Prefixes):
        k, v, keys = k.index_select(0, keys.token_K), v.index_select(0, keys.token_K), keys.pieces
    if cache is not None:
        assert isinstance(packing.keys, Keys)
        k, v = cache.renew(i, packing.keys.cell_T, k, v)
    mixed_TD = attend(q, k, v, queries, keys)
    return kernels.after(parts, x_TD, mixed_TD)


# --- what is computed around the attention, in pieces that torch.compile fuses ----------------------------

#: Queries, keys and values, by head.
_QKV = tuple[Tensor, Tensor, Tensor]


def _before(parts: Parts, one: Joined | None, size: int, x_TD: Tensor, cos: Tensor, sin: Tensor) -> _QKV:
    normed = parts.attention_norm(x_TD)
    q, k, v = (_heads(y, size) for y in _project((parts.q, parts.k, parts.v), one, normed))
    return _rotate(q, cos, sin), _rotate(k, cos, sin), v


def _before_last(
    parts: Parts, one: Joined | None, size: int, x_TD: Tensor, cos: Tensor, sin: Tensor, wanted_N: Tensor
) -> _QKV:
    normed = parts.attention_norm(x_TD)
    k, v = (_heads(y, size) for y in _project((parts.k, parts.v), one, normed))
    q = _heads(parts.q(normed[wanted_N]), size)
    return _rotate(q, cos[wanted_N], sin[wanted_N]), _rotate(k, cos, sin), v


def _middle(parts: Parts, one: Joined | None, x_TD: Tensor, mixed_TD: Tensor) -> tuple[Tensor, Tensor]:
    """The residual stream behind the attention, and what the last map of the MLP gets."""
    x_TD = x_TD + parts.o(mixed_TD)
    gate, up = _project((parts.gate, parts.up), one, parts.mlp_norm(x_TD))
    return x_TD, F.silu(gate) * up


def _after(parts: Parts, one: Joined | None, x_TD: Tensor, mixed_TD: Tensor) -> Tensor:
    x_TD, gated_TF = _middle(parts, one, x_TD, mixed_TD)
    return x_TD + cast(Tensor, parts.down(gated_TF))


def _project(maps: Sequence[nn.Module], one: Joined | None, x_TD: Tensor) -> Sequence[Tensor]:
    """As one product where it is given; else together in training, and in decoding by themselves."""
    if one is not None:
        return one.split(x_TD)
    return project(maps, x_TD) if torch.is_grad_enabled() else [part(x_TD) for part in maps]


def _heads(x_TD: Tensor, size: int) -> Tensor:
    """Not copied, also where it is a part of longer rows: ``[T, H, E]``."""
    return x_TD.view(len(x_TD), -1, size)


def _rotate(x_THE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Rotate by position in the dtype of the tables; see ``TransformerLM.rotations``."""
    x = x_THE.to(cos_TE.dtype)
    swapped = x.view(*x.shape[:-1], 2, -1).flip(-2).view(x.shape)
    rotated: Tensor = x * cos_TE[:, None] + swapped * sin_TE[:, None]
    return rotated.to(x_THE.dtype)


class _Kernels:
    """The pieces, as they are."""

    def __init__(self) -> None:
        self._before: Callable[..., Any] = _before
        self._before_last: Callable[..., Any] = _before_last
        self._after: Callable[..., Any] = _after

    def before(self, parts: Parts, *rest: Any) -> _QKV:
        """Queries, keys and values."""
        return cast(_QKV, self._before(parts, None, *rest))

    def before_last(self, parts: Parts, *rest: Any) -> _QKV:
        """The same, of the last layer: queries of the wanted rows alone."""
        return cast(_QKV, self._before_last(parts, None, *rest))

    def after(self, parts: Parts, x_TD: Tensor, mixed_TD: Tensor) -> Tensor:
        """What follows the attention."""
        return cast(Tensor, self._after(parts, None, x_TD, mixed_TD))


class _Training(_Kernels):
    """Compiled as needed, for each variant."""

    def __init__(self) -> None:
        self._before, self._before_last = compiled_as_needed(_before), compiled_as_needed(_before_last)
        self._after = compiled_as_needed(_after)
        self.pieces = Pieces(compiled=True)
        self.stack: Stack | None = None


class _Decoding(_Kernels):
    """One compilation for all layers, lengths and batches, such that a row comes out as in any company.

    Maps of one input are one product where that gives the same and is faster: of few rows, of weights that lie side by
    side. The last map of the MLP has the most inputs, so that libraries split its sums at more numbers of rows than
    those of the others: it alone gets more rows then.
    """

    def __init__(self, model: TransformerLM) -> None:
        self._model = weakref.ref(model)
        # Apart and joined; what a piece is compiled for again, it is compiled for rows as they then are.
        before, last, middle = (
            ("", "", "", "T", "T", "T"),
            ("", "", "", "T", "T", "T", "N"),
            ("", "", "T", "T"),
        )
        self._befores = compiled(_before, before), compiled(_before, before)
        self._lasts = compiled(_before_last, last), compiled(_before_last, last)
        self._middles = compiled(_middle, middle), compiled(_middle, middle)

    def before(self, parts: Parts, size: int, x_TD: Tensor, *rest: Any) -> _QKV:
        one = self._one((parts.q, parts.k, parts.v), len(x_TD))
        return cast(_QKV, self._befores[one is not None](parts, one, size, x_TD, *rest))

    def before_last(self, parts: Parts, size: int, x_TD: Tensor, *rest: Any) -> _QKV:
        one = self._one((parts.k, parts.v), len(x_TD))
        return cast(_QKV, self._lasts[one is not None](parts, one, size, x_TD, *rest))

    def after(self, parts: Parts, x_TD: Tensor, mixed_TD: Tensor) -> Tensor:
        one, rows = self._one((parts.gate, parts.up), len(x_TD)), len(x_TD)
        x_TD, gated_TF = self._middles[one is not None](parts, one, x_TD, mixed_TD)
        more = of_down(self._of()).first(chain((rows,), multiples(rows, DOWN_STEP))) - rows
        if more:
            x_TD, gated_TF = F.pad(x_TD, (0, 0, 0, more)), F.pad(gated_TF, (0, 0, 0, more))
        return added(x_TD, parts.down, gated_TF)[:rows]

    def _one(self, maps: tuple[nn.Module, ...], rows: int) -> Joined | None:
        return joined(maps) if rows <= JOINED_ROWS and of_joined(self._of()).at(rows) else None

    def _of(self) -> TransformerLM:
        model = self._model()
        assert model is not None
        return model


_PLAIN = _Kernels()

_training: weakref.WeakKeyDictionary[TransformerLM, _Training] = weakref.WeakKeyDictionary()
_decoding: weakref.WeakKeyDictionary[TransformerLM, _Decoding] = weakref.WeakKeyDictionary()


def record_training(model: TransformerLM, recorded: bool, kept: bool = False) -> Stack | None:
    """Whether trainings of the model record their layers as CUDA graphs; returns who then runs them.

    ``kept``: that adds up their weights' gradients by itself; see ``Stack``.
    """
    kernels = _training.get(model) or _training.setdefault(model, _Training())
    kernels.stack = Stack(kept) if recorded else None
    return kernels.stack


def _kernels_of(model: TransformerLM) -> _Kernels:
    """Compiled ones: of decoding under inference mode, which nothing else uses."""
    if torch.is_inference_mode_enabled():
        return _decoding.get(model) or _decoding.setdefault(model, _Decoding(model))
    return _training.get(model) or _training.setdefault(model, _Training())

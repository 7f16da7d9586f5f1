"""What the families share: RMSNorm, rotary positions, bidirectional attention, the loop over the layers.

A family names its modules as its checkpoint does and says which of them plays which part; nothing is computed there.

Shapes: B batch, L tokens, S tokens computed in this call, D hidden, H heads, K key/value heads, G heads that share
one of them, E head size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tad_core.models import packed
from tad_core.models.base import DiffusionLM
from tad_core.models.layout import Packing
from tad_core.models.packed import PackedCache

#: Positions whose rotation is computed at once.
ROPE_PIECE = 256


class RMSNorm(nn.Module):
    """RMSNorm with float32 statistics; the weight is applied after the cast back, as both originals do."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        with torch.autocast(x.device.type, enabled=False):
            x32 = x.float()
            normed = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


def rope_tables(length: int, head_size: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine tables ``[L, E]`` in float32, half-split layout.

    Computed in pieces of one shape, so that a position's row does not depend on how long the table is.
    """
    inverse = 1.0 / (theta ** (torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size))
    whole = -(-length // ROPE_PIECE) * ROPE_PIECE
    angles = torch.outer(torch.arange(whole, device=device, dtype=torch.float32), inverse)
    pieces = torch.split(torch.cat((angles, angles), dim=-1), ROPE_PIECE)
    cos, sin = (
        torch.cat([function(piece) for piece in pieces])[:length] for function in (torch.cos, torch.sin)
    )
    return cos, sin


def apply_rope(x_BHSE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate by position in the dtype of the tables, which are ``[S, E]`` or ``[B, 1, S, E]``."""
    x = x_BHSE.to(cos.dtype)
    first, second = x.chunk(2, dim=-1)
    rotated = torch.cat((-second, first), dim=-1)
    return (x * cos + rotated * sin).to(x_BHSE.dtype)


def attend(q_BHSE: Tensor, k_BKLE: Tensor, v_BKLE: Tensor, visible_B11L: Tensor | None) -> Tensor:
    """Bidirectional attention ``[B, S, D]``; ``visible_B11L`` is True where a key may be attended.

    Heads that share keys are laid out as more queries of one head, ``[B, K, G * S, E]``: without a causal mask a
    query's place does not matter, so every SDPA kernel takes them and no key is repeated.
    """
    batch, heads, length, size = q_BHSE.shape
    shared = k_BKLE.shape[1]
    q = q_BHSE if shared == heads else q_BHSE.reshape(batch, shared, heads // shared * length, size)
    mixed = F.scaled_dot_product_attention(q, k_BKLE, v_BKLE.to(q.dtype), attn_mask=visible_B11L)
    return mixed.reshape(batch, heads, length, size).transpose(1, 2).flatten(2)


class Parts(NamedTuple):
    """The modules of one layer by what they do."""

    attention_norm: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    o: nn.Module
    mlp_norm: nn.Module
    gate: nn.Module
    up: nn.Module
    down: nn.Module


class Layer(nn.Module):
    """Pre-norm attention and SwiGLU."""

    def __init__(self, head_size: int) -> None:
        super().__init__()
        self.head_size = head_size

    def parts(self) -> Parts:
        """The modules under the names of the family; looked up each time, since PEFT exchanges them."""
        raise NotImplementedError

    def forward(
        self,
        x_BSD: Tensor,
        cos: Tensor,
        sin: Tensor,
        visible_B11L: Tensor | None,
    ) -> Tensor:
        """One layer over S positions.

        Args:
            x_BSD: the residual stream.
            cos: rotation of these positions; its dtype is that of the rotation.
            sin: likewise.
            visible_B11L: keys that may be attended; None for all.
        """
        parts = self.parts()
        normed = parts.attention_norm(x_BSD)
        q, k, v = (self._split(part(normed)) for part in (parts.q, parts.k, parts.v))
        q, k = apply_rope(q, cos, sin), apply_rope(k, cos, sin)
        x_BSD = x_BSD + parts.o(attend(q, k, v, visible_B11L))
        normed = parts.mlp_norm(x_BSD)
        return x_BSD + cast(Tensor, parts.down(F.silu(parts.gate(normed)) * parts.up(normed)))

    def _split(self, x_BSD: Tensor) -> Tensor:
        return x_BSD.view(*x_BSD.shape[:-1], -1, self.head_size).transpose(1, 2)


class TransformerLM(DiffusionLM):
    """The loop over the layers, with everything a family has to say about itself below."""

    #: rotate in float32 (LLaDA), or in the dtype of the activations with tables from float32 (Dream, as Qwen2)
    rope_float32: ClassVar[bool] = True
    #: the hidden row that predicts token i is i - shift (row 0 predicts token 0 too)
    shift: ClassVar[int] = 0
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    gradient_checkpointing = False
    _rope: tuple[Tensor, Tensor] | None = None

    def token_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        raise NotImplementedError

    def layers(self) -> Iterable[nn.Module]:
        """The layers, first to last."""
        raise NotImplementedError

    def final_norm(self) -> nn.Module:
        """The norm after the last layer."""
        raise NotImplementedError

    def output_head(self) -> nn.Linear:
        """From hidden states to logits."""
        raise NotImplementedError

    def rope_settings(self) -> tuple[int, float]:
        """Head size and theta."""
        raise NotImplementedError

    # --- what is computed ---------------------------------------------------------------------------

    def hidden(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None = None) -> Tensor:
        """See ``DiffusionLM.hidden``."""
        visible_B11L = None if attention_mask_BL is None else attention_mask_BL[:, None, None, :].bool()
        cos, sin = self._rope_for(input_ids_BL.shape[1], input_ids_BL.device)
        raw_BLD = self._run(input_ids_BL, cos, sin, visible_B11L)
        return torch.cat((raw_BLD[:, :1], raw_BLD[:, : -self.shift]), 1) if self.shift else raw_BLD

    @property
    def packed_shift(self) -> int:
        """See ``DiffusionLM``."""
        return self.shift

    def packed(
        self, ids_T: Tensor, packing: Packing, cache: PackedCache | None = None, fused: bool = False
    ) -> Tensor:
        """See ``DiffusionLM.packed``."""
        return packed.run(self, ids_T, packing, cache, fused)

    def held_by_graphs(self) -> object:
        """See ``DiffusionLM.held_by_graphs``."""
        return self._rope

    def new_cache(self, sequences: int, capacity: int) -> PackedCache:
        """See ``DiffusionLM.new_cache``."""
        return PackedCache(self, sequences, capacity)

    def key_shape(self) -> tuple[int, int]:
        """Key/value heads of a layer and their size."""
        first = cast(Layer, next(iter(self.layers())))
        return cast(int, first.parts().k.out_features) // first.head_size, first.head_size

    def rotations(self, at_T: Tensor, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine ``[T, E]`` at some positions, all below ``length``, for activations of ``dtype``.

        The sine's first half is negated: ``x * cos + swap(x) * sine``, with the halves of x exchanged, rotates.
        """
        cos_TE, sin_TE = (table_LE[at_T] for table_LE in self._rope_for(length, at_T.device))
        first, second = sin_TE.chunk(2, dim=-1)
        sin_TE = torch.cat((-first, second), dim=-1)
        return (cos_TE, sin_TE) if self.rope_float32 else (cos_TE.to(dtype), sin_TE.to(dtype))

    def head(self, hidden_ND: Tensor) -> Tensor:
        """See ``DiffusionLM.head``."""
        return cast(Tensor, self.output_head()(hidden_ND))

    def _run(self, input_ids_BS: Tensor, cos: Tensor, sin: Tensor, visible_B11L: Tensor | None) -> Tensor:
        """Normalised rows ``[B, S, D]``, not shifted."""
        x_BSD = self.token_embedding()(input_ids_BS)
        if not self.rope_float32:
            cos, sin = cos.to(x_BSD.dtype), sin.to(x_BSD.dtype)
        for layer in self.layers():
            if self.gradient_checkpointing and self.training:
                x_BSD = torch.utils.checkpoint.checkpoint(
                    layer, x_BSD, cos, sin, visible_B11L, use_reentrant=False
                )
            else:
                x_BSD = layer(x_BSD, cos, sin, visible_B11L)
        return cast(Tensor, self.final_norm()(x_BSD))

    def _rope_for(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        # A plain attribute, not a buffer: the checkpoint has no such key, and float32 must survive .bfloat16().
        if self._rope is None or self._rope[0].shape[0] < length or self._rope[0].device != device:
            head_size, theta = self.rope_settings()
            # Kept for later calls: made under inference mode, autograd would refuse it to a training that follows.
            with torch.inference_mode(False):
                self._rope = rope_tables(max(length, ROPE_PIECE), head_size, theta, device)
        return self._rope[0][:length], self._rope[1][:length]

    @property
    def head_dtype(self) -> torch.dtype:
        """See ``DiffusionLM.head_dtype``."""
        return self.output_head().weight.dtype

    # --- what transformers and PEFT ask for -----------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Rows of the head, which may be more than the tokenizer has tokens."""
        return self.output_head().out_features

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.token_embedding()

    def get_output_embeddings(self) -> nn.Module:
        """The head, which is not tied to the embedding."""
        return self.output_head()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)


__all__ = ["Layer", "Parts", "RMSNorm", "TransformerLM", "apply_rope", "attend", "rope_tables"]

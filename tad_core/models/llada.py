"""LLaDA: a bidirectional Llama-style transformer, with the hub checkpoint's own key names.

One class for GSAI-ML/LLaDA-8B-Instruct (8,015,581,184 parameters) and for the small model in ``assets/``.
Source of the definition: Nie et al. 2025 (LLaDA) and the published config and weight index.

Shapes: B batch, L tokens, D hidden, H heads, K key/value heads, E head size, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tad_core.models.base import DiffusionLM, PretrainedConfig


class LLaDAConfig(PretrainedConfig):  # type: ignore[misc]
    """The fields of the hub's config.json that this architecture uses; others are kept and written back."""

    model_type = "llada"

    def __init__(
        self,
        d_model: int = 4096,
        n_heads: int = 32,
        n_kv_heads: int | None = None,
        n_layers: int = 32,
        mlp_hidden_size: int = 12288,
        vocab_size: int = 126464,
        embedding_size: int | None = None,
        max_sequence_length: int = 4096,
        rope_theta: float = 500000.0,
        rms_norm_eps: float = 1e-5,
        mask_token_id: int = 126336,
        eos_token_id: int = 126081,
        pad_token_id: int = 126081,
        **rest: Any,
    ) -> None:
        self.d_model = d_model
        self.n_heads = n_heads
        self.n_kv_heads = n_kv_heads or n_heads
        self.n_layers = n_layers
        self.mlp_hidden_size = mlp_hidden_size
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size or vocab_size
        self.max_sequence_length = max_sequence_length
        self.rope_theta = rope_theta
        self.rms_norm_eps = rms_norm_eps
        self.mask_token_id = mask_token_id
        rest.setdefault("tie_word_embeddings", False)
        super().__init__(eos_token_id=eos_token_id, pad_token_id=pad_token_id, **rest)

    @property
    def hidden_size(self) -> int:
        """The name other libraries (DeepSpeed, PEFT) look for."""
        return self.d_model

    @property
    def num_hidden_layers(self) -> int:
        """The name other libraries look for."""
        return self.n_layers


class RMSNorm(nn.Module):
    """RMSNorm with float32 statistics; the weight is applied after the cast back, as the original does."""

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
    """Cosine and sine tables ``[L, E]`` in float32, half-split layout."""
    inverse = 1.0 / (theta ** (torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size))
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), inverse)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def apply_rope(x_BHLE: Tensor, cos_LE: Tensor, sin_LE: Tensor) -> Tensor:
    """Rotate by position, in float32."""
    x32 = x_BHLE.float()
    first, second = x32.chunk(2, dim=-1)
    rotated = torch.cat((-second, first), dim=-1)
    return (x32 * cos_LE + rotated * sin_LE).to(x_BHLE.dtype)


class LLaDABlock(nn.Module):
    """Pre-norm attention and SwiGLU; the attribute names are the checkpoint's."""

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__()
        size, self.n_heads, self.n_kv_heads = config.d_model, config.n_heads, config.n_kv_heads
        self.head_size = size // config.n_heads
        kv_size = self.head_size * self.n_kv_heads
        self.attn_norm = RMSNorm(size, config.rms_norm_eps)
        self.ff_norm = RMSNorm(size, config.rms_norm_eps)
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, kv_size, bias=False)
        self.v_proj = nn.Linear(size, kv_size, bias=False)
        self.attn_out = nn.Linear(size, size, bias=False)
        self.ff_proj = nn.Linear(size, config.mlp_hidden_size, bias=False)
        self.up_proj = nn.Linear(size, config.mlp_hidden_size, bias=False)
        self.ff_out = nn.Linear(config.mlp_hidden_size, size, bias=False)

    def forward(self, x_BLD: Tensor, cos_LE: Tensor, sin_LE: Tensor, bias_B11L: Tensor | None) -> Tensor:
        """One layer; ``bias_B11L`` is True where a key may be attended."""
        normed = self.attn_norm(x_BLD)
        q = self._split(self.q_proj(normed), self.n_heads)
        k = self._split(self.k_proj(normed), self.n_kv_heads)
        v = self._split(self.v_proj(normed), self.n_kv_heads)
        q, k = apply_rope(q, cos_LE, sin_LE), apply_rope(k, cos_LE, sin_LE)
        mixed = F.scaled_dot_product_attention(
            q, k, v.to(q.dtype), attn_mask=bias_B11L, enable_gqa=self.n_kv_heads != self.n_heads
        )
        x_BLD = x_BLD + self.attn_out(mixed.transpose(1, 2).flatten(2))
        normed = self.ff_norm(x_BLD)
        return x_BLD + cast(Tensor, self.ff_out(F.silu(self.ff_proj(normed)) * self.up_proj(normed)))

    def _split(self, x_BLD: Tensor, heads: int) -> Tensor:
        return x_BLD.view(*x_BLD.shape[:-1], heads, self.head_size).transpose(1, 2)


class LLaDAModelLM(DiffusionLM):
    """``model.transformer.{wte, blocks, ln_f, ff_out}``, exactly the keys of the hub's index."""

    config_class = LLaDAConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["LLaDABlock"]
    _supports_sdpa = True
    role_patterns: ClassVar[dict[str, str]] = {
        "q": r".*\.blocks\.\d+\.q_proj",
        "k": r".*\.blocks\.\d+\.k_proj",
        "v": r".*\.blocks\.\d+\.v_proj",
        "o": r".*\.blocks\.\d+\.attn_out",
        "gate": r".*\.blocks\.\d+\.ff_proj",
        "up": r".*\.blocks\.\d+\.up_proj",
        "down": r".*\.blocks\.\d+\.ff_out",
    }

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__(config)
        transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.embedding_size, config.d_model),
                "blocks": nn.ModuleList(LLaDABlock(config) for _ in range(config.n_layers)),
                "ln_f": RMSNorm(config.d_model, config.rms_norm_eps),
                "ff_out": nn.Linear(config.d_model, config.embedding_size, bias=False),
            }
        )
        self.model = nn.ModuleDict({"transformer": transformer})
        self.gradient_checkpointing = False
        self._rope: tuple[Tensor, Tensor] | None = None
        self.post_init()

    def hidden(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None = None) -> Tensor:
        """See ``DiffusionLM.hidden``."""
        transformer: Any = self.model["transformer"]
        x_BLD = transformer["wte"](input_ids_BL)
        cos_LE, sin_LE = self._rope_for(input_ids_BL.shape[1], x_BLD.device)
        bias_B11L = None if attention_mask_BL is None else attention_mask_BL[:, None, None, :].bool()
        for block in transformer["blocks"]:
            if self.gradient_checkpointing and self.training:
                x_BLD = torch.utils.checkpoint.checkpoint(
                    block, x_BLD, cos_LE, sin_LE, bias_B11L, use_reentrant=False
                )
            else:
                x_BLD = block(x_BLD, cos_LE, sin_LE, bias_B11L)
        return cast(Tensor, transformer["ln_f"](x_BLD))

    def head(self, hidden_ND: Tensor) -> Tensor:
        """See ``DiffusionLM.head``."""
        transformer: Any = self.model["transformer"]
        return cast(Tensor, transformer["ff_out"](hidden_ND))

    @property
    def blocks(self) -> list[LLaDABlock]:
        """The layers, first to last."""
        return list(cast(Any, self.model["transformer"])["blocks"])

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return cast(nn.Module, cast(Any, self.model["transformer"])["wte"])

    def get_output_embeddings(self) -> nn.Module:
        """The head, which is not tied to the embedding."""
        return cast(nn.Module, cast(Any, self.model["transformer"])["ff_out"])

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)

    def _rope_for(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        # A plain attribute, not a buffer: the checkpoint has no such key, and float32 must survive .bfloat16().
        if self._rope is None or self._rope[0].shape[0] < length or self._rope[0].device != device:
            head_size = self.config.d_model // self.config.n_heads
            size = max(length, 256)
            self._rope = rope_tables(size, head_size, self.config.rope_theta, device)
        return self._rope[0][:length], self._rope[1][:length]

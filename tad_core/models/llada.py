"""LLaDA: a bidirectional Llama-style transformer, with the hub checkpoint's own key names.

One class for GSAI-ML/LLaDA-8B-Instruct (8,015,581,184 parameters) and for the small model in ``assets/``.
Source of the definition: Nie et al. 2025 (LLaDA) and the published config and weight index.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import nn

from tad_core.checkpoint import check_fields
from tad_core.families.llada import FAMILY
from tad_core.models.base import PretrainedConfig
from tad_core.models.transformer import Layer, Parts, RMSNorm, TransformerLM


class LLaDAConfig(PretrainedConfig):  # type: ignore[misc]
    """The fields of the hub's config.json that this architecture uses; others are kept and written back.

    Raises:
        ModelError: a field asks for an architecture that this class is not.
    """

    model_type = "llada"

    def __init__(
        self,
        d_model: int = 4096,
        n_heads: int = 32,
        n_kv_heads: int | None = None,
        n_layers: int = 32,
        mlp_hidden_size: int | None = 12288,
        mlp_ratio: int = 4,
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
        check_fields(self.model_type, rest)
        self.d_model = d_model
        self.n_heads = n_heads
        self.n_kv_heads = n_kv_heads or n_heads
        self.n_layers = n_layers
        self.mlp_hidden_size = mlp_hidden_size or mlp_ratio * d_model
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


class LLaDABlock(Layer):
    """One layer; the attribute names are the checkpoint's."""

    def __init__(self, config: LLaDAConfig) -> None:
        size, mlp_size = config.d_model, config.mlp_hidden_size
        super().__init__(size // config.n_heads)
        kv_size = self.head_size * config.n_kv_heads
        self.attn_norm = RMSNorm(size, config.rms_norm_eps)
        self.ff_norm = RMSNorm(size, config.rms_norm_eps)
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, kv_size, bias=False)
        self.v_proj = nn.Linear(size, kv_size, bias=False)
        self.attn_out = nn.Linear(size, size, bias=False)
        self.ff_proj = nn.Linear(size, mlp_size, bias=False)
        self.up_proj = nn.Linear(size, mlp_size, bias=False)
        self.ff_out = nn.Linear(mlp_size, size, bias=False)

    def parts(self) -> Parts:
        """See ``Layer.parts``."""
        return Parts(
            self.attn_norm, self.q_proj, self.k_proj, self.v_proj, self.attn_out,
            self.ff_norm, self.ff_proj, self.up_proj, self.ff_out,
        )  # fmt: skip


class LLaDAModelLM(TransformerLM):
    """``model.transformer.{wte, blocks, ln_f, ff_out}``, exactly the keys of the hub's index."""

    config_class = LLaDAConfig
    base_model_prefix = "model"
    _no_split_modules: ClassVar[list[str]] = ["LLaDABlock"]
    family = FAMILY.name
    role_patterns = FAMILY.roles

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
        self.post_init()

    @property
    def max_positions(self) -> int:
        """Longest sequence, 4,096 in the published checkpoints."""
        return cast(int, self.config.max_sequence_length)

    @property
    def blocks(self) -> list[LLaDABlock]:
        """The layers, first to last."""
        return list(self._part("blocks"))

    def token_embedding(self) -> nn.Embedding:
        """See ``TransformerLM``."""
        return cast(nn.Embedding, self._part("wte"))

    def layers(self) -> list[nn.Module]:
        """See ``TransformerLM``."""
        return list(self._part("blocks"))

    def final_norm(self) -> nn.Module:
        """See ``TransformerLM``."""
        return cast(nn.Module, self._part("ln_f"))

    def output_head(self) -> nn.Linear:
        """See ``TransformerLM``."""
        return cast(nn.Linear, self._part("ff_out"))

    def rope_settings(self) -> tuple[int, float]:
        """See ``TransformerLM``."""
        return self.config.d_model // self.config.n_heads, self.config.rope_theta

    def _part(self, name: str) -> Any:
        return cast(Any, self.model["transformer"])[name]

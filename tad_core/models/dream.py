"""Dream: Qwen2.5 with the causal mask lifted, with the hub checkpoint's own key names.

One class for Dream-org/Dream-v0-Instruct-7B (7,615,616,512 parameters) and for small ones. The checkpoint keeps
the shift of the autoregressive model it grew from: the last layer's row i - 1 predicts token i. ``hidden`` moves the
rows, so that here, as everywhere, ``logits[:, i]`` predicts token i; row 0 predicts token 0 as well.

Source of the definition: Ye et al. 2025 (Dream 7B), the published config and weight names, and Qwen2.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import nn

from tad_core.checkpoint import check_fields
from tad_core.families.dream import FAMILY
from tad_core.models.base import PretrainedConfig
from tad_core.models.transformer import Layer, Parts, RMSNorm, TransformerLM


class DreamConfig(PretrainedConfig):  # type: ignore[misc]
    """The fields of the hub's config.json that this architecture uses; others are kept and written back.

    Raises:
        ModelError: a field asks for an architecture that this class is not.
    """

    model_type = "Dream"

    def __init__(
        self,
        vocab_size: int = 152064,
        hidden_size: int = 3584,
        intermediate_size: int = 18944,
        num_hidden_layers: int = 28,
        num_attention_heads: int = 28,
        num_key_value_heads: int | None = 4,
        max_position_embeddings: int = 131072,
        rope_theta: float = 1000000.0,
        rms_norm_eps: float = 1e-6,
        mask_token_id: int = 151666,
        bos_token_id: int | None = 151643,
        eos_token_id: int = 151643,
        pad_token_id: int = 151643,
        **rest: Any,
    ) -> None:
        check_fields(self.model_type, rest)
        # Newer transformers write theta into rope_parameters, and own the name rope_scaling.
        rope = rest.pop("rope_parameters", None) or {}
        rest.pop("rope_scaling", None)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.rope_theta = rope.get("rope_theta", rope_theta)
        self.rms_norm_eps = rms_norm_eps
        self.mask_token_id = mask_token_id
        rest.setdefault("tie_word_embeddings", False)
        super().__init__(
            bos_token_id=bos_token_id, eos_token_id=eos_token_id, pad_token_id=pad_token_id, **rest
        )


class DreamAttention(nn.Module):
    """The four projections of attention; queries, keys and values have a bias."""

    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        size = config.hidden_size
        kv_size = size // config.num_attention_heads * config.num_key_value_heads
        self.q_proj = nn.Linear(size, size, bias=True)
        self.k_proj = nn.Linear(size, kv_size, bias=True)
        self.v_proj = nn.Linear(size, kv_size, bias=True)
        self.o_proj = nn.Linear(size, size, bias=False)


class DreamMLP(nn.Module):
    """The three projections of SwiGLU."""

    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)


class DreamDecoderLayer(Layer):
    """One layer; the attribute names are the checkpoint's."""

    def __init__(self, config: DreamConfig) -> None:
        super().__init__(config.hidden_size // config.num_attention_heads)
        self.self_attn = DreamAttention(config)
        self.mlp = DreamMLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def parts(self) -> Parts:
        """See ``Layer.parts``."""
        attention, mlp = self.self_attn, self.mlp
        return Parts(
            self.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj,
            self.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj,
        )  # fmt: skip


class DreamModel(TransformerLM):
    """``model.{embed_tokens, layers, norm}`` and ``lm_head``, exactly the keys of the hub's index."""

    config_class = DreamConfig
    base_model_prefix = "model"
    _no_split_modules: ClassVar[list[str]] = ["DreamDecoderLayer"]
    family = FAMILY.name
    rope_float32 = False
    shift = 1
    #: tokens of the longest sequence Dream was trained on; the config's own number is inherited from Qwen2.5
    trained_positions: ClassVar[int] = 2048
    role_patterns = FAMILY.roles

    def __init__(self, config: DreamConfig) -> None:
        super().__init__(config)
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(config.vocab_size, config.hidden_size),
                "layers": nn.ModuleList(DreamDecoderLayer(config) for _ in range(config.num_hidden_layers)),
                "norm": RMSNorm(config.hidden_size, config.rms_norm_eps),
            }
        )
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @property
    def max_positions(self) -> int:
        """What the config allows, 131,072 in the published checkpoint; it was trained on 2,048."""
        return cast(int, self.config.max_position_embeddings)

    def token_embedding(self) -> nn.Embedding:
        """See ``TransformerLM``."""
        return cast(nn.Embedding, self.model["embed_tokens"])

    def layers(self) -> list[nn.Module]:
        """See ``TransformerLM``."""
        return list(cast(nn.ModuleList, self.model["layers"]))

    def final_norm(self) -> nn.Module:
        """See ``TransformerLM``."""
        return self.model["norm"]

    def output_head(self) -> nn.Linear:
        """See ``TransformerLM``."""
        return self.lm_head

    def rope_settings(self) -> tuple[int, float]:
        """See ``TransformerLM``."""
        return self.config.hidden_size // self.config.num_attention_heads, self.config.rope_theta

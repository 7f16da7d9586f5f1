"""The hub's config.json of both families, field by field, and the key names of their weights."""

from __future__ import annotations

from typing import Any

#: GSAI-ML/LLaDA-8B-Instruct
LLADA: dict[str, Any] = {
    "activation_type": "silu", "alibi": False, "alibi_bias_max": 8.0, "architectures": ["LLaDAModelLM"],
    "attention_dropout": 0.0, "attention_layer_norm": False, "attention_layer_norm_with_affine": True,
    "auto_map": {
        "AutoConfig": "configuration_llada.LLaDAConfig",
        "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
        "AutoModel": "modeling_llada.LLaDAModelLM",
    },
    "bias_for_layer_norm": False, "block_group_size": 1, "block_type": "llama", "d_model": 4096,
    "embedding_dropout": 0.0, "embedding_size": 126464, "eos_token_id": 126081, "flash_attention": False,
    "include_bias": False, "include_qkv_bias": False, "init_cutoff_factor": None, "init_device": "meta",
    "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": False, "layer_norm_type": "rms",
    "layer_norm_with_affine": True, "mask_token_id": 126336, "max_sequence_length": 4096,
    "mlp_hidden_size": 12288, "mlp_ratio": 4, "model_type": "llada", "multi_query_attention": None,
    "n_heads": 32, "n_kv_heads": 32, "n_layers": 32, "pad_token_id": 126081, "precision": "amp_bf16",
    "residual_dropout": 0.0, "rms_norm_eps": 1e-05, "rope": True, "rope_full_precision": True,
    "rope_theta": 500000.0, "scale_logits": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.46.3", "use_cache": False, "vocab_size": 126464, "weight_tying": False,
}  # fmt: skip

#: Dream-org/Dream-v0-Instruct-7B
DREAM: dict[str, Any] = {
    "architectures": ["DreamModel"], "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_dream.DreamConfig", "AutoModel": "modeling_dream.DreamModel",
    },
    "bos_token_id": 151643, "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 3584,
    "initializer_range": 0.02, "intermediate_size": 18944, "mask_token_id": 151666,
    "max_position_embeddings": 131072, "max_window_layers": 28, "model_type": "Dream",
    "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "pad_token_id": 151643,
    "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": None,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.46.2",
    "use_cache": True, "use_mrope": False, "use_sliding_window": False, "vocab_size": 152064,
}  # fmt: skip

#: apple/DiffuCoder-7B-Instruct: Dream's shape, written by a newer library
DIFFUCODER: dict[str, Any] = DREAM | {"transformers_version": "4.51.3", "use_cache": False}

#: Dream-org/Dream-Coder-v0-Instruct-7B: its beginning of a text is another token
DREAM_CODER: dict[str, Any] = DREAM | {"bos_token_id": 151665}

#: What configurations of other published models say that no family here computes, by their names.
OTHERS: dict[str, dict[str, Any]] = {
    "LLaDA-V": {"model_type": "llava_llada", "architectures": ["LlavaLladaForMaskedDiffusion"]},
    "LLaDA-MoE": {"model_type": "llada", "architectures": ["LLaDAMoEModelLM"], "num_experts": 64,
                  "hidden_size": 2048, "num_hidden_layers": 16, "mask_token_id": 156895, "eos_token_id": 156892},
    "LLaDA 2": {"model_type": "llada2_moe", "num_experts": 16, "num_hidden_layers": 24},
    "DreamReasoner": {"model_type": "Dream", "architectures": ["DreamForCausalLM"], "block_size": 32,
                      "mask_token_id": 151669, "eos_token_id": 151643},
    "Stable-DiffCoder": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
                         "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 155136},
}  # fmt: skip


def llada_keys(layers: int) -> set[str]:
    """Every key of a LLaDA checkpoint."""
    leaves = (
        "q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out", "attn_norm", "ff_norm",
    )  # fmt: skip
    keys = {f"model.transformer.blocks.{i}.{leaf}.weight" for i in range(layers) for leaf in leaves}
    return keys | {f"model.transformer.{name}.weight" for name in ("wte", "ln_f", "ff_out")}


def dream_keys(layers: int) -> set[str]:
    """Every key of a Dream checkpoint."""
    leaves = [f"self_attn.{p}_proj.{kind}" for p in "qkv" for kind in ("weight", "bias")]
    leaves += ["self_attn.o_proj.weight", "input_layernorm.weight", "post_attention_layernorm.weight"]
    leaves += [f"mlp.{p}_proj.weight" for p in ("gate", "up", "down")]
    keys = {f"model.layers.{i}.{leaf}" for i in range(layers) for leaf in leaves}
    return keys | {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}

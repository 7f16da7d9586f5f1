"""Dream without its weights: fields, names and shapes of the published checkpoints, and its chat format.

Source: Ye et al. 2025 (Dream 7B), the published config.json, weight index and tokenizer, Qwen2, and the paper's
reference code for the system turn (``train_dream``).
"""

from __future__ import annotations

from tad_core.families.base import Family, Fields, Gguf, Names, Shapes, head_size, layer_count, size


def shapes(config: Fields) -> Shapes:
    """See ``Family.shapes``."""
    width, layers = size(config, "hidden_size", 3584), layer_count(config, "num_hidden_layers", 28)
    heads = size(config, "num_attention_heads", 28)
    kv_heads = size(config, "num_key_value_heads", heads if "num_key_value_heads" in config else 4)
    kv = head_size("hidden_size", width, "num_attention_heads", heads) * kv_heads
    mlp, rows = size(config, "intermediate_size", 18944), FAMILY.vocabulary(config)
    out: Shapes = {"model.embed_tokens.weight": (rows, width)}
    for i in range(layers):
        at = f"model.layers.{i}."
        for name, to in (("q", width), ("k", kv), ("v", kv)):
            out[f"{at}self_attn.{name}_proj.weight"] = (to, width)
            out[f"{at}self_attn.{name}_proj.bias"] = (to,)
        layer = {"self_attn.o_proj": (width, width), "mlp.gate_proj": (mlp, width), "mlp.up_proj": (mlp, width),
                 "mlp.down_proj": (width, mlp), "input_layernorm": (width,),
                 "post_attention_layernorm": (width,)}  # fmt: skip
        out |= {f"{at}{name}.weight": shape for name, shape in layer.items()}
    return out | {"model.norm.weight": (width,), "lm_head.weight": (rows, width)}


def with_system(prompt: str, note: str) -> str:
    """The default system turn is lengthened; a prompt without one gets a turn of its own."""
    end = prompt.find("<|im_end|>") if prompt.startswith("<|im_start|>system") else -1
    if end < 0:
        return f"<|im_start|>system\n\n{note}<|im_end|>\n{prompt}"
    return f"{prompt[:end]}\n\n{note}{prompt[end:]}"


FAMILY = Family(
    name="dream",
    home="Dream-org/Dream-v0-Instruct-7B",
    config_class="tad_core.models.dream:DreamConfig",
    model_class="tad_core.models.dream:DreamModel",
    accepts={
        "architectures": ("DreamModel", None),
        "attention_dropout": (0,),
        "block_size": (None,),
        "hidden_act": ("silu",),
        "quantization_config": (None,),
        "rope_scaling": (None, "default"),
        "rope_parameters": (None, "default"),
        "tie_word_embeddings": (False,),
        "use_mrope": (False, None),
        "use_sliding_window": (False,),
    },
    names=Names(
        width="hidden_size",
        layers="num_hidden_layers",
        heads="num_attention_heads",
        kv_heads="num_key_value_heads",
        mlp="intermediate_size",
        vocabulary=("vocab_size",),
        positions="max_position_embeddings",
    ),
    rows=152064,
    shapes=shapes,
    roles={
        "q": r".*\.layers\.\d+\.self_attn\.q_proj",
        "k": r".*\.layers\.\d+\.self_attn\.k_proj",
        "v": r".*\.layers\.\d+\.self_attn\.v_proj",
        "o": r".*\.layers\.\d+\.self_attn\.o_proj",
        "gate": r".*\.layers\.\d+\.mlp\.gate_proj",
        "up": r".*\.layers\.\d+\.mlp\.up_proj",
        "down": r".*\.layers\.\d+\.mlp\.down_proj",
    },
    turn_end="<|im_end|>",
    with_system=with_system,
    qkv_bias=True,
    gguf=Gguf("dream", shifted=True),
)

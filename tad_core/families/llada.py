"""LLaDA without its weights: fields, names and shapes of the published checkpoints, and its chat format.

Source: Nie et al. 2025 (LLaDA), the published config.json, weight index and tokenizer, and the paper's reference code
for the system turn (``train_llada``).
"""

from __future__ import annotations

from tad_core.families.base import Family, Fields, Gguf, Names, Shapes, head_size, layer_count, size

_BEGIN = "<|startoftext|>"


def shapes(config: Fields) -> Shapes:
    """See ``Family.shapes``."""
    width, layers = size(config, "d_model", 4096), layer_count(config, "n_layers", 32)
    heads = size(config, "n_heads", 32)
    kv = head_size("d_model", width, "n_heads", heads) * size(config, "n_kv_heads", heads)
    given = "mlp_hidden_size" in config
    mlp = size(config, "mlp_hidden_size", size(config, "mlp_ratio", 4) * width if given else 12288)
    rows, top = FAMILY.vocabulary(config), "model.transformer."
    out: Shapes = {f"{top}wte.weight": (rows, width)}
    for i in range(layers):
        layer = {"attn_norm": (width,), "ff_norm": (width,), "q_proj": (width, width), "k_proj": (kv, width),
                 "v_proj": (kv, width), "attn_out": (width, width), "ff_proj": (mlp, width), "up_proj": (mlp, width),
                 "ff_out": (width, mlp)}  # fmt: skip
        out |= {f"{top}blocks.{i}.{name}.weight": shape for name, shape in layer.items()}
    return out | {f"{top}ln_f.weight": (width,), f"{top}ff_out.weight": (rows, width)}


def with_system(prompt: str, note: str) -> str:
    """There is no default system turn, so one is put between the begin-of-text token and the user's turn."""
    begin = _BEGIN if prompt.startswith(_BEGIN) else ""
    turn = f"<|start_header_id|>system<|end_header_id|>\n\n{note}<|eot_id|>"
    return begin + turn + prompt[len(begin) :]


FAMILY = Family(
    name="llada",
    home="GSAI-ML/LLaDA-8B-Instruct",
    config_class="tad_core.models.llada:LLaDAConfig",
    model_class="tad_core.models.llada:LLaDAModelLM",
    accepts={
        "activation_type": ("silu",),
        "alibi": (False,),
        "architectures": ("LLaDAModelLM", None),
        "attention_dropout": (0,),
        "attention_layer_norm": (False,),
        "bias_for_layer_norm": (False, None),
        "block_group_size": (1,),
        "block_type": ("llama",),
        "clip_qkv": (None,),
        "embedding_dropout": (0,),
        "include_bias": (False,),
        "include_qkv_bias": (False, None),
        "input_emb_norm": (False,),
        "layer_norm_type": ("rms",),
        "layer_norm_with_affine": (True,),
        "multi_query_attention": (None, False),
        "num_experts": (None, 0),
        "quantization_config": (None,),
        "residual_dropout": (0,),
        "rope": (True,),
        "rope_full_precision": (True,),
        "scale_logits": (False,),
        "tie_word_embeddings": (False,),
        "weight_tying": (False,),
    },
    names=Names(
        width="d_model",
        layers="n_layers",
        heads="n_heads",
        kv_heads="n_kv_heads",
        mlp="mlp_hidden_size",
        vocabulary=("embedding_size", "vocab_size"),
        positions="max_sequence_length",
    ),
    rows=126464,
    shapes=shapes,
    roles={
        "q": r".*\.blocks\.\d+\.q_proj",
        "k": r".*\.blocks\.\d+\.k_proj",
        "v": r".*\.blocks\.\d+\.v_proj",
        "o": r".*\.blocks\.\d+\.attn_out",
        "gate": r".*\.blocks\.\d+\.ff_proj",
        "up": r".*\.blocks\.\d+\.up_proj",
        "down": r".*\.blocks\.\d+\.ff_out",
    },
    turn_end="<|eot_id|>",
    with_system=with_system,
    causal_auto=True,
    gguf=Gguf("llada", shifted=False, paired=("q_proj.weight", "k_proj.weight"), add_bos=True),
)

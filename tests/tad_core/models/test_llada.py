from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tad_core.models import LLaDAConfig, LLaDAModelLM, right_pad

#: our key -> Hugging Face Llama's
KEYS = {
    "q_proj": "self_attn.q_proj", "k_proj": "self_attn.k_proj", "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj", "ff_proj": "mlp.gate_proj", "up_proj": "mlp.up_proj", "ff_out": "mlp.down_proj",
    "attn_norm": "input_layernorm", "ff_norm": "post_attention_layernorm",
}  # fmt: skip


def build(kv_heads: int = 4) -> tuple[LLaDAModelLM, LlamaForCausalLM]:
    torch.manual_seed(1)
    ours = LLaDAModelLM(
        LLaDAConfig(d_model=48, n_heads=4, n_kv_heads=kv_heads, n_layers=3, mlp_hidden_size=80, vocab_size=97,
                    mask_token_id=3, eos_token_id=1, pad_token_id=1, rope_theta=500.0)
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs = LlamaForCausalLM(
        LlamaConfig(hidden_size=48, num_attention_heads=4, num_key_value_heads=kv_heads, num_hidden_layers=3,
                    intermediate_size=80, vocab_size=97, rms_norm_eps=1e-5, tie_word_embeddings=False,
                    rope_parameters={"rope_type": "default", "rope_theta": 500.0}, attn_implementation="eager")
    ).eval()  # fmt: skip
    mapped = {}
    for key, value in ours.state_dict().items():
        name = key.removeprefix("model.transformer.")
        if name.startswith("blocks."):
            _, layer, part, rest = name.split(".")
            mapped[f"model.layers.{layer}.{KEYS[part]}.{rest}"] = value
        else:
            top = {"wte.weight": "model.embed_tokens.weight", "ln_f.weight": "model.norm.weight"}
            mapped[top.get(name, "lm_head.weight")] = value
    theirs.load_state_dict(mapped)
    return ours, theirs


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_logits_equal_a_llama_with_the_causal_mask_lifted(kv_heads: int) -> None:
    ours, theirs = build(kv_heads)
    ids = torch.randint(0, 97, (2, 19))
    full = torch.zeros(2, 1, 19, 19)  # additive: everything may attend to everything
    with torch.no_grad():
        assert torch.allclose(ours(ids), theirs(ids, attention_mask=full).logits, atol=1e-4)
        causal = theirs(ids).logits
    assert not torch.allclose(ours(ids), causal, atol=1e-2)


def test_padding_is_truly_masked() -> None:
    ours, _ = build()
    rows = [[5, 6, 7, 8, 9], [10, 11], [12]]
    ids, mask = right_pad(rows, ours.eos_token_id)
    with torch.no_grad():
        padded = ours(ids, mask)
        for i, row in enumerate(rows):
            assert torch.allclose(padded[i, : len(row)], ours(torch.tensor([row]))[0], atol=1e-5)
        unmasked = ours(ids)
    assert not torch.allclose(padded[2, 0], unmasked[2, 0], atol=1e-3)


def test_eos_inside_a_row_is_attended() -> None:
    ours, _ = build()
    with torch.no_grad():
        a = ours(torch.tensor([[5, 1, 7]]), torch.ones(1, 3))
        b = ours(torch.tensor([[5, 9, 7]]), torch.ones(1, 3))
    assert not torch.allclose(a[:, 0], b[:, 0], atol=1e-3)


def test_head_is_callable_apart() -> None:
    ours, _ = build()
    ids = torch.randint(0, 97, (2, 9))
    with torch.no_grad():
        assert torch.allclose(ours.head(ours.hidden(ids)[:, 3]), ours(ids)[:, 3], atol=1e-6)


def test_rope_and_norm_stay_float32_under_bfloat16() -> None:
    ours, _ = build()
    ids = torch.randint(0, 97, (1, 300))  # past the first table, so it grows
    with torch.no_grad():
        exact = ours(ids)
        rounded = ours.bfloat16()(ids)
    assert rounded.dtype == torch.bfloat16 and ours._rope is not None and ours._rope[0].dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact, rounded.float(), dim=-1).min() > 0.99


def test_training_after_a_rollout_of_the_same_model() -> None:
    """Tables that were made under inference mode are no part of a graph; a rollout makes them first."""
    model, _ = build()
    ids = torch.randint(0, 32, (2, 9))
    with torch.inference_mode():
        rolled_out = model(ids)
    loss = model(ids).square().mean()
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert torch.equal(model(ids), rolled_out)

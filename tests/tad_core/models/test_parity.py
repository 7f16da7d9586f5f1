"""Logits of hub-format checkpoints against other implementations of the same architecture, float32, to 1e-4.

Dream against Hugging Face's Qwen2 with the causal mask lifted and the logits shifted; LLaDA against the plain
implementation in this file, which shares nothing with the package.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from tad_core.config import ModelConfig
from tad_core.models import right_pad
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import load_model
from tad_core.models.transformer import apply_rope, rope_tables
from tests.tad_core.models import hub

VOCAB, MASK, EOS = 97, 3, 1
LLADA = hub.LLADA | {
    "d_model": 48, "n_heads": 4, "n_kv_heads": 4, "n_layers": 3, "mlp_hidden_size": 80, "vocab_size": VOCAB,
    "embedding_size": VOCAB, "mask_token_id": MASK, "eos_token_id": EOS, "pad_token_id": EOS,
    "max_sequence_length": 128,
}  # fmt: skip
DREAM = hub.DREAM | {
    "hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2, "num_hidden_layers": 3,
    "intermediate_size": 80, "vocab_size": VOCAB, "mask_token_id": MASK, "eos_token_id": EOS,
    "pad_token_id": EOS, "bos_token_id": EOS, "max_position_embeddings": 128,
}  # fmt: skip


def random_weights(config: dict) -> dict[str, Tensor]:
    """Weights under the hub's names; larger than an initialisation, so that every part shows in the logits."""
    draw = torch.Generator().manual_seed(1)
    if config["model_type"] == "llada":
        size, mlp, layers, kv = (
            config["d_model"],
            config["mlp_hidden_size"],
            config["n_layers"],
            config["d_model"],
        )
        keys = hub.llada_keys(layers)
    else:
        size, mlp, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
        kv = size // config["num_attention_heads"] * config["num_key_value_heads"]
        keys = hub.dream_keys(layers)
    weights = {}
    for key in sorted(keys):
        shape: tuple[int, ...] = (size, size)
        if "norm" in key or "ln_f" in key or "q_proj.bias" in key:
            shape = (size,)
        elif "_proj.bias" in key:
            shape = (kv,)
        elif any(name in key for name in ("k_proj", "v_proj")):
            shape = (kv, size)
        elif (
            any(name in key for name in ("embed_tokens", "wte", "lm_head"))
            or key == "model.transformer.ff_out.weight"
        ):
            shape = (VOCAB, size)
        elif any(name in key for name in ("ff_proj", "up_proj", "gate_proj")):
            shape = (mlp, size)
        elif any(name in key for name in ("blocks", "down_proj")) and ("ff_out" in key or "down_proj" in key):
            shape = (size, mlp)
        weights[key] = torch.randn(shape, generator=draw) * (0.3 if len(shape) == 1 else 0.15)
        if "norm" in key or "ln_f" in key:
            weights[key] += 1
    return weights


def checkpoint(folder: Path, config: dict, shards: int = 1) -> Path:
    """A folder as the hub has it: config.json, safetensors (with an index), a tokenizer."""
    folder.mkdir()
    weights = random_weights(config)
    (folder / "config.json").write_text(json.dumps(config))
    words = {"<mask>" if i == MASK else f"w{i}": i for i in range(VOCAB)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    names = sorted(weights)
    index = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: weights[name] for name in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
    total = sum(w.numel() * w.element_size() for w in weights.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index})
    )
    return folder


@pytest.fixture(scope="module")
def llada(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("hub") / "llada", LLADA)


@pytest.fixture(scope="module")
def dream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("hub") / "dream", DREAM)


def load(folder: Path) -> DiffusionLM:
    return load_model(ModelConfig(path=str(folder)), "cpu")


# --- LLaDA, written out -------------------------------------------------------------------------------


def plain_llada(weights: dict[str, Tensor], config: dict, ids: list[int]) -> Tensor:
    """Logits ``[L, V]`` of one row, head by head and position by position, in float64."""
    w = {k.removeprefix("model.transformer."): v.double() for k, v in weights.items()}
    heads, size = config["n_heads"], config["d_model"] // config["n_heads"]

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"]).sqrt() * w[f"{name}.weight"]

    def rotate(vector: Tensor, position: int) -> Tensor:
        out, half = vector.clone(), size // 2
        for j in range(half):
            angle = position * config["rope_theta"] ** (-2 * j / size)
            a, b = vector[j], vector[j + half]
            out[j] = a * math.cos(angle) - b * math.sin(angle)
            out[j + half] = b * math.cos(angle) + a * math.sin(angle)
        return out

    x = torch.stack([w["wte.weight"][i] for i in ids])
    for layer in range(config["n_layers"]):
        name = f"blocks.{layer}"
        h = norm(x, f"{name}.attn_norm")
        q, k, v = (h @ w[f"{name}.{p}_proj.weight"].T for p in "qkv")
        mixed = torch.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            qs = torch.stack([rotate(row, i) for i, row in enumerate(q[:, part])])
            ks = torch.stack([rotate(row, i) for i, row in enumerate(k[:, part])])
            mixed[:, part] = torch.softmax(qs @ ks.T / math.sqrt(size), -1) @ v[:, part]
        x = x + mixed @ w[f"{name}.attn_out.weight"].T
        h = norm(x, f"{name}.ff_norm")
        gate = h @ w[f"{name}.ff_proj.weight"].T
        x = (
            x
            + (gate * torch.sigmoid(gate) * (h @ w[f"{name}.up_proj.weight"].T))
            @ w[f"{name}.ff_out.weight"].T
        )
    return norm(x, "ln_f") @ w["ff_out.weight"].T


def test_llada_equals_a_plain_implementation(llada: Path) -> None:
    weights, model = load_file(llada / "model.safetensors"), load(llada)
    draw = torch.Generator().manual_seed(2)
    for length in (1, 2, 19):
        ids = torch.randint(0, VOCAB, (length,), generator=draw)
        with torch.no_grad():
            ours = model(ids[None])[0]
        theirs = plain_llada(weights, LLADA, ids.tolist())
        assert theirs.abs().max() > 1  # not all of it is noise below the tolerance
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=0)


# --- Dream, as Qwen2 ----------------------------------------------------------------------------------


def qwen2(folder: Path, dtype: torch.dtype = torch.float32) -> Qwen2ForCausalLM:
    """Hugging Face's own Qwen2 with the checkpoint's weights under the same names."""
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
            num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=False, max_position_embeddings=128,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, attn_implementation="eager",
        )
    )  # fmt: skip
    model.load_state_dict(load_file(folder / "model.safetensors"))
    angles = model.model.rotary_emb.inv_freq.clone()
    model.to(dtype)
    model.model.rotary_emb.inv_freq = angles  # float32 even there, as in a model that is loaded in bfloat16
    return model.eval()


def shifted(logits_BLV: Tensor) -> Tensor:
    """Row i is what the autoregressive layout has at i - 1; row 0 stays."""
    out = logits_BLV.clone()
    for i in range(1, logits_BLV.shape[1]):
        out[:, i] = logits_BLV[:, i - 1]
    return out


def test_dream_equals_qwen2_without_the_causal_mask(dream: Path) -> None:
    ours, theirs = load(dream), qwen2(dream)
    ids = torch.randint(0, VOCAB, (2, 19), generator=torch.Generator().manual_seed(2))
    all_visible = torch.zeros(2, 1, 19, 19)  # additive
    with torch.no_grad():
        expected = shifted(theirs(ids, attention_mask=all_visible).logits)
        torch.testing.assert_close(ours(ids), expected, atol=1e-4, rtol=0)
        # With causal attention it is another model.
        assert not torch.allclose(ours(ids), shifted(theirs(ids).logits), atol=1e-2)
        assert not torch.allclose(ours(ids), theirs(ids, attention_mask=all_visible).logits, atol=1e-2)


def test_dream_in_bfloat16_is_as_near_to_float32_as_qwen2_is(dream: Path) -> None:
    ours, theirs = load(dream).bfloat16(), qwen2(dream)
    ids = torch.randint(0, VOCAB, (2, 60), generator=torch.Generator().manual_seed(2))
    all_visible = torch.zeros(2, 1, 60, 60)
    with torch.no_grad():
        exact = shifted(theirs(ids, attention_mask=all_visible).logits)
        theirs = qwen2(dream, torch.bfloat16)
        rounded = shifted(theirs(ids, attention_mask=all_visible.bfloat16()).logits).float()
        error = (ours(ids).float() - exact).pow(2).mean().sqrt()
    assert error < 1.2 * (rounded - exact).pow(2).mean().sqrt()


def test_norm_and_rotation_round_in_bfloat16_exactly_where_the_originals_do(llada: Path, dream: Path) -> None:
    """Statistics and angles in float32; Dream then rotates in bfloat16 as Qwen2 does, LLaDA in float32."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(2, 40, 48, generator=draw).bfloat16()
    theirs, ours = qwen2(dream, torch.bfloat16).model, load(dream).bfloat16()
    with torch.no_grad():
        assert torch.equal(ours.final_norm()(x), theirs.norm(x))

    q = torch.randn(2, 6, 40, 8, generator=draw).bfloat16()
    cos, sin = theirs.rotary_emb(q, torch.arange(40)[None])
    expected, _ = apply_rotary_pos_emb(q, q, cos, sin)
    assert torch.equal(seen_by_attention(ours, q), expected)

    q = torch.randn(2, 4, 40, 12, generator=draw).bfloat16()
    cos, sin = rope_tables(40, 12, LLADA["rope_theta"], torch.device("cpu"))
    in_float32, _ = apply_rotary_pos_emb(q.float(), q.float(), cos[None], sin[None])
    assert torch.equal(seen_by_attention(load(llada).bfloat16(), q), in_float32.bfloat16())


def seen_by_attention(model: DiffusionLM, q_BHLE: Tensor) -> Tensor:
    """``q_BHLE`` as the model's first layer rotates it: dtype and angles are those the model hands to its layers."""
    handed: list[Tensor] = []

    def note(_module: object, inputs: tuple[Tensor, ...]) -> None:
        handed.extend(inputs[1:3])

    hook = next(iter(model.layers())).register_forward_pre_hook(note)
    with torch.no_grad():
        model.hidden(torch.zeros(1, q_BHLE.shape[2], dtype=torch.long))
    hook.remove()
    return apply_rope(q_BHLE, *handed)


# --- both ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llada", "dream"])
def test_padded_rows_equal_unpadded_ones(family: str, request: pytest.FixtureRequest) -> None:
    model = load(request.getfixturevalue(family))
    rows = [[5, 6, 7, 8, 9, MASK, MASK], [10, 11], [12], [EOS, 13, EOS, MASK]]
    ids, mask = right_pad(rows, EOS)
    with torch.no_grad():
        padded = model(ids, mask)
        for i, row in enumerate(rows):
            torch.testing.assert_close(
                padded[i, : len(row)], model(torch.tensor([row]))[0], atol=1e-5, rtol=0
            )
        assert not torch.allclose(padded[1, :2], model(ids)[1, :2], atol=1e-3)  # the mask does something


@pytest.mark.parametrize("family", ["llada", "dream"])
def test_shards_with_an_index_are_the_same_model(
    family: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    whole = request.getfixturevalue(family)
    config = json.loads((whole / "config.json").read_text())
    parts = checkpoint(tmp_path / "parts", config, shards=3)
    (parts / "unrelated.safetensors").write_bytes(b"left by an interrupted download")
    ids = torch.randint(0, VOCAB, (1, 9), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(load(parts)(ids), load(whole)(ids))

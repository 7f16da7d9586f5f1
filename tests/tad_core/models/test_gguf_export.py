"""The GGUF file has llama.cpp's names and keys, and the weights that a merged export has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tad_core.checkpoint import load_tokenizer
from tad_core.config import ModelConfig
from tad_core.errors import ConfigError, ModelError
from tad_core.models import gguf_export, gguf_vocab
from tad_core.models.export import export_merged
from tad_core.models.gguf_export import check_gguf, export_gguf, how_to_run
from tad_core.models.gguf_vocab import PRE_TOKENIZERS, vocabulary
from tad_core.models.loading import build
from tests.tad_core.models.adapters import make_adapter
from tests.tad_core.models.words import TEXTS, WAYS, byte_level

gguf = pytest.importorskip("gguf", reason="pip install -e .[gguf]")

#: Names of one layer here -> llama.cpp's, from its own sources.
LLADA = {"attn_norm": "attn_norm", "ff_norm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v",
         "attn_out": "attn_output", "ff_proj": "ffn_gate", "up_proj": "ffn_up", "ff_out": "ffn_down"}  # fmt: skip
DREAM = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}  # fmt: skip
TOP = {"model.transformer.wte": "token_embd", "model.transformer.ln_f": "output_norm", "model.transformer.ff_out":
       "output", "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}  # fmt: skip


def read(folder: Path) -> Any:
    return gguf.GGUFReader(next(folder.glob("*.gguf")))


def fields(folder: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in read(folder).fields.items()}


def llama_name(key: str) -> str:
    name, _, kind = key.rpartition(".")
    if name in TOP:
        return f"{TOP[name]}.{kind}"
    layer, _, part = name.replace("model.transformer.blocks.", "").replace("model.layers.", "").partition(".")
    return f"blk.{layer}.{(LLADA | DREAM)[part]}.{kind}"


def in_pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Row by row, by hand: row 2 i of a head is its row i, row 2 i + 1 is its row i + D / 2."""
    size = len(weight) // heads
    order = [
        h * size + i + half * size // 2 for h in range(heads) for i in range(size // 2) for half in (0, 1)
    ]
    return weight[order]


def test_it_has_the_merged_weights_under_llama_cpps_names(base: ModelConfig, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    told: list[tuple[int, int]] = []
    out = export_gguf(
        base, adapter, tmp_path / "gguf", "card", "float32", "tiny", lambda *t: told.append(t), {"a.txt": "b"}
    )
    assert {file.name for file in out.iterdir()} == {"tiny-F32.gguf", "README.md", "a.txt"}
    merged = load_file(export_merged(base, adapter, tmp_path / "st", "card", "float32") / "model.safetensors")
    found = {tensor.name: tensor for tensor in read(out).tensors}
    assert set(found) == {llama_name(key) for key in merged} and told[-1] == (len(merged), len(merged))
    heads = {"q_proj": 2, "k_proj": 2} if base.path.endswith("llada") else {}
    for key, value in merged.items():
        turned = in_pairs(value, heads[key.split(".")[-2]]) if key.split(".")[-2] in heads else value
        written = found[llama_name(key)]
        np.testing.assert_array_equal(written.data.reshape(value.shape), turned.numpy())
        assert list(reversed(written.shape.tolist())) == list(value.shape)


@pytest.mark.parametrize(("dtype", "kind", "number"), [("float16", "F16", 1), ("bfloat16", "BF16", 32)])
def test_matrices_are_in_the_dtype_and_the_rest_is_in_float32(
    dtype: Any, kind: str, number: int, base: ModelConfig, tmp_path: Path
) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    out = export_gguf(base, adapter, tmp_path / "out", "card", dtype, "tiny")
    merged = load_file(export_merged(base, adapter, tmp_path / "st", "card", dtype) / "model.safetensors")
    found = {tensor.name: tensor for tensor in read(out).tensors}
    assert (out / f"tiny-{kind}.gguf").is_file() and fields(out)["general.file_type"] == number
    for key, value in merged.items():
        written = found[llama_name(key)]
        assert written.tensor_type.name == (kind if value.ndim == 2 else "F32")
        if key.endswith(("v_proj.weight", "embed_tokens.weight", "wte.weight")):
            bits = value.view(torch.int16).numpy().view(np.uint8)
            np.testing.assert_array_equal(written.data.view(np.uint8).reshape(bits.shape), bits)


@pytest.fixture
def wide(request: pytest.FixtureRequest, tmp_path: Path) -> ModelConfig:
    """A random checkpoint whose rows are whole blocks of 32 weights."""
    folder = Path(shutil.copytree(request.getfixturevalue(request.param), tmp_path / "wide"))
    config = json.loads((folder / "config.json").read_text())
    name = "mlp_hidden_size" if config["model_type"] == "llada" else "intermediate_size"
    (folder / "config.json").write_text(json.dumps(config | {name: 64}))
    model = build(folder)
    with torch.no_grad():
        for number, parameter in enumerate(model.to_empty(device="cpu").parameters()):
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(number))
    model.to(torch.float32).save_pretrained(folder)
    return ModelConfig(path=str(folder), device="cpu")


@pytest.mark.parametrize("wide", ["tiny_checkpoint", "tiny_dream_checkpoint"], indirect=True)
@pytest.mark.parametrize(
    ("bits", "kind", "number", "step"), [("int8", "Q8_0", 7, 127), ("int4", "Q4_0", 2, 8)]
)
def test_projections_in_few_bits(
    bits: str, kind: str, number: int, step: int, wide: ModelConfig, tmp_path: Path
) -> None:
    """By the format: 32 weights of a row share a scale, which is the largest of them over the steps."""
    adapter = make_adapter(wide, tmp_path / "adapter")
    out = export_gguf(wide, adapter, tmp_path / "out", "card", "float16", "tiny", quantize=bits)
    merged = load_file(export_merged(wide, adapter, tmp_path / "st", "card", "float32") / "model.safetensors")
    assert [file.name for file in out.glob("*.gguf")] == [f"tiny-{kind}.gguf"]
    assert fields(out)["general.file_type"] == number
    found = {tensor.name: tensor for tensor in read(out).tensors}
    for key, value in merged.items():
        written = found[llama_name(key)]
        is_projection = value.ndim == 2 and (".blocks." in key or ".layers." in key)
        assert written.tensor_type.name == (kind if is_projection else "F16" if value.ndim == 2 else "F32")
        if is_projection and key.split(".")[-2] not in ("q_proj", "k_proj"):
            again = torch.tensor(gguf.quants.dequantize(written.data, written.tensor_type))
            blocks = value.reshape(-1, 32)
            scale = blocks.abs().amax(1, keepdim=True) / step
            # half a step, or for 4 bits a whole one at the end that has no step; the scale itself is in float16
            wrong = (again.reshape(blocks.shape) - blocks).abs() / scale
            assert wrong.max() < (0.6 if bits == "int8" else 1.01)
            assert not torch.equal(again, value)


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_rows_that_are_no_whole_blocks_are_refused(bits: str, base: ModelConfig, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    with pytest.raises(
        ModelError, match=rf"--quantize: .* has rows of 48 weights, and {bits} needs a multiple of 32"
    ):
        export_gguf(base, adapter, tmp_path / "out", "card", "float32", "x", quantize=bits)
    assert not (tmp_path / "out").exists()


def test_keys_say_what_the_architecture_is(base: ModelConfig, tmp_path: Path) -> None:
    out = export_gguf(
        base, make_adapter(base, tmp_path / "adapter"), tmp_path / "out", "card", "float32", "x"
    )
    found, tokenizer = fields(out), load_tokenizer(base)
    config = json.loads((Path(base.path) / "config.json").read_text())
    llada = config["model_type"] == "llada"
    arch = "llada" if llada else "dream"
    shape = {
        "block_count": 2, "context_length": 512, "embedding_length": 32, "feed_forward_length": 48,
        "attention.head_count": 2 if llada else 4, "attention.head_count_kv": 2, "attention.causal": False,
        "rope.dimension_count": 16 if llada else 8, "rope.freq_base": 10_000.0, "vocab_size": config["vocab_size"],
    }  # fmt: skip
    assert found["general.architecture"] == arch
    assert {name: found[f"{arch}.{name}"] for name in shape} == shape
    assert found[f"{arch}.attention.layer_norm_rms_epsilon"] == pytest.approx(config["rms_norm_eps"])
    assert found["diffusion.shift_logits"] is not llada
    special = ("mask", "eos", "padding", "bos", "eot")
    end = tokenizer.get_vocab()["<|eot_id|>" if llada else "<|im_end|>"]
    ids = [
        config["mask_token_id"],
        config["eos_token_id"],
        config["pad_token_id"],
        tokenizer.bos_token_id,
        end,
    ]
    assert [found[f"tokenizer.ggml.{name}_token_id"] for name in special] == ids
    assert found["tokenizer.chat_template"] == tokenizer.chat_template


def test_words_that_llama_cpp_cannot_split_are_left_out_and_the_card_says_so(
    base: ModelConfig, tmp_path: Path
) -> None:
    out = export_gguf(
        base, make_adapter(base, tmp_path / "adapter"), tmp_path / "out", "card", "float32", "x"
    )
    assert fields(out)["tokenizer.ggml.model"] == "none"
    config = json.loads((Path(base.path) / "config.json").read_text())
    text = how_to_run(base, config, "x.gguf")
    assert "WordLevel" in text and "token ids" in text and "llama-diffusion-cli" not in text


@pytest.mark.parametrize(("pattern", "whole", "name"), WAYS, ids=[name for _, _, name in WAYS])
def test_byte_level_words_are_written_whole(
    pattern: str, whole: bool, name: str, base: ModelConfig, tmp_path: Path
) -> None:
    folder = byte_level(Path(base.path), tmp_path / "bpe", pattern, whole)
    base = ModelConfig(path=str(folder), device="cpu")
    out = export_gguf(
        base, make_adapter(base, tmp_path / "adapter"), tmp_path / "out", "card", "float32", "x"
    )
    found, tokenizer = fields(out), load_tokenizer(base)
    config = json.loads((folder / "config.json").read_text())
    assert (found["tokenizer.ggml.model"], found["tokenizer.ggml.pre"]) == ("gpt2", name)
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == config["vocab_size"]
    assert {
        token: number for number, token in enumerate(tokens) if types[number] != 5
    } == tokenizer.get_vocab()
    assert (tokens[-1], types[-1]) == (f"[PAD{len(tokens) - 1}]", 5)
    assert [types[i] for i in (0, 1, tokenizer.get_vocab()["Return the result."])] == [3, 3, 4]
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    assert found["tokenizer.ggml.merges"] == [" ".join(merge) for merge in model["merges"]]
    assert "llama-diffusion-cli -m x.gguf" in how_to_run(base, config, "x.gguf")


def test_an_expression_that_llama_cpp_does_not_know_is_not_taken_for_another(
    tiny_dream_checkpoint: Path, tmp_path: Path
) -> None:
    folder = byte_level(tiny_dream_checkpoint, tmp_path / "bpe", r"\p{L}+|\P{L}+")
    words = vocabulary(load_tokenizer(folder), 700)
    assert isinstance(words, str) and "BPE" in words
    assert load_tokenizer(folder).decode(load_tokenizer(folder).encode(TEXTS[2])) == TEXTS[2]


@pytest.mark.parametrize(
    "change",
    [
        {"ignore_merges": True},
        {"end_of_word_suffix": "</w>"},
        {"continuing_subword_prefix": "##"},
        {"byte_fallback": True},
    ],
    ids=str,
)
def test_what_else_decides_the_tokens_is_looked_at(
    change: dict[str, Any], tiny_dream_checkpoint: Path, tmp_path: Path
) -> None:
    """llama.cpp goes by its name of the expression alone, and has none of Qwen2's where tokens are taken whole."""
    folder = byte_level(tiny_dream_checkpoint, tmp_path / "bpe", next(iter(PRE_TOKENIZERS)))
    tree = json.loads((folder / "tokenizer.json").read_text())
    assert gguf_vocab._pre_tokenizer(tree) == "qwen2"
    tree["model"] |= change
    assert gguf_vocab._pre_tokenizer(tree) is None


def test_it_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--format: gguf holds the merged model.*--adapter-only"):
        check_gguf(adapter_only=True)
    monkeypatch.setattr(gguf_export, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--format: gguf needs the package gguf"):
        export_gguf(ModelConfig(path="nowhere"), tmp_path, tmp_path / "out", "card", "float32", "x")


def test_nothing_is_left_of_an_export_that_broke_off(base: ModelConfig, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_gguf(base, adapter, tmp_path / "out", "card", "float32", "x", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]

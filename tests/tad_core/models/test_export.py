"""An exported folder is read by plain safetensors and config, by PEFT, and decodes what base and adapter decode."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from tad_core import hub as our_hub
from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec, decode
from tad_core.evaluation.generate import load_for_inference
from tad_core.models.base import DiffusionLM
from tad_core.models.export import export_adapter, export_merged
from tad_core.models.loading import FAMILIES, load_model, load_tokenizer
from tad_core.models.lora import base_of, load_adapter
from tests.tad_core.models import hub
from tests.tad_core.models.adapters import make_adapter

COMMIT = "08b83a6feb34df1a6011b80c3c00c7563e963b07"
PROMPTS = [[2, 30, 41, 52], [2, 9, 10, 11, 12, 60], [2, 77]]
SPEC = DecodeSpec(16, 8, "entropy", 1.0, 0.5, early_stop=False)


def plainly(folder: Path) -> DiffusionLM:
    """The folder read by nothing but json and safetensors."""
    config = json.loads((folder / "config.json").read_text())
    config_class, model_class = FAMILIES[config["model_type"]]
    model = model_class(config_class(**config))
    weights: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        weights |= load_file(file)
    model.load_state_dict(weights, strict=True)
    return model.eval()


def test_merged_it_has_the_originals_keys_and_decodes_the_same(
    base: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    out = export_merged(
        base, adapter, tmp_path / "out", "card", "float32", on_tensor=lambda *t: told.append(t)
    )
    weights = load_file(out / "model.safetensors")
    keys = hub.llada_keys(2) if base.path.endswith("llada") else hub.dream_keys(2)
    assert set(weights) == keys == set(load_file(Path(base.path) / "model.safetensors"))
    assert told[-1] == (len(keys), len(keys))

    together = base_of(load_adapter(load_model(base), adapter))
    original, again = load_model(base), plainly(out)
    ids = torch.tensor([[2, 30, 1, 1, 41, 52]])
    with torch.no_grad():
        torch.testing.assert_close(again(ids), together(ids), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(again(ids), original(ids), atol=1e-2)
    decoded = decode(again, PROMPTS, SPEC)
    assert decoded == decode(together, PROMPTS, SPEC)
    assert decoded != decode(original, PROMPTS, SPEC)

    loaded = load_model(ModelConfig(path=str(out), device="cpu"))
    assert decode(loaded, PROMPTS, SPEC) == decoded
    text = load_tokenizer(out).apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text == load_tokenizer(base).apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False
    )


def test_the_tokenizer_is_named_as_transformers_4_knows_it_too(
    adapter: Path, base: ModelConfig, tmp_path: Path
) -> None:
    """Saved by transformers 5 it has a class that engines on transformers 4 refuse."""
    folder = tmp_path / "base"
    shutil.copytree(base.path, folder)
    tokenizer = load_tokenizer(base)
    tokenizer.save_pretrained(folder)
    assert "TokenizersBackend" in (folder / "tokenizer_config.json").read_text()
    out = export_merged(
        base.model_copy(update={"path": str(folder)}), adapter, tmp_path / "out", "card", "float32"
    )
    named = json.loads((out / "tokenizer_config.json").read_text())["tokenizer_class"]
    assert named == "PreTrainedTokenizerFast"
    assert load_tokenizer(out)("How many?") == tokenizer("How many?")


@pytest.mark.parametrize(("umask", "mode"), [(0o027, 0o640), (0o022, 0o644)])
def test_files_are_readable_by_whom_the_umask_lets(
    umask: int, mode: int, base: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        merged = export_merged(base, adapter, tmp_path / "merged", "card", "float32")
        alone = export_adapter(base, adapter, tmp_path / "alone", "card")
    finally:
        os.umask(before)
    files = [*merged.iterdir(), *alone.iterdir()]
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {oct(mode)}


def test_the_merge_is_pefts_own(base: ModelConfig, adapter: Path, tmp_path: Path) -> None:
    out = export_merged(base, adapter, tmp_path / "out", "card", "float32")
    merged = load_adapter(load_model(base), adapter).merge_and_unload().state_dict()
    weights = load_file(out / "model.safetensors")
    assert weights.keys() == merged.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, merged[name], atol=1e-6, rtol=1e-6)


def test_a_bfloat16_base_is_merged_in_float32_and_rounded_once(
    base: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    rounded = Path(shutil.copytree(base.path, tmp_path / "bf16"))
    weights = {k: v.bfloat16() for k, v in load_file(rounded / "model.safetensors").items()}
    save_file(weights, rounded / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((rounded / "config.json").read_text())
    del config["dtype"]
    (rounded / "config.json").write_text(json.dumps(config | {"torch_dtype": "bfloat16"}))
    base = ModelConfig(path=str(rounded), dtype="bfloat16", device="cpu")
    out = export_merged(base, adapter, tmp_path / "out", "card", "bfloat16")
    written = load_file(out / "model.safetensors")
    lora = load_file(adapter / "adapter_model.safetensors")
    assert {w.dtype for w in written.values()} == {torch.bfloat16}
    a_name = min(name for name in lora if "lora_A" in name)
    name = a_name.removeprefix("base_model.model.").replace("lora_A.", "")
    evaluated = load_for_inference(
        base, adapter
    ).state_dict()  # what was measured is what is exported, to the bit
    assert written.keys() == evaluated.keys()
    assert all(torch.equal(value, evaluated[key]) for key, value in written.items())
    delta = 2 * lora[a_name.replace("lora_A", "lora_B")] @ lora[a_name]  # alpha / r is 8 / 4
    assert torch.equal(written[name], (weights[name].float() + delta).bfloat16())
    exported = json.loads((out / "config.json").read_text())
    assert exported["torch_dtype"] == "bfloat16" and "dtype" not in exported  # as the base spells it
    wide = export_merged(base, adapter, tmp_path / "wide", "card", "float32")
    assert torch.equal(load_file(wide / "model.safetensors")[name], weights[name].float() + delta)


def test_large_weights_come_in_shards_with_an_index(base: ModelConfig, adapter: Path, tmp_path: Path) -> None:
    whole = export_merged(base, adapter, tmp_path / "whole", "card", "float32")
    out = export_merged(base, adapter, tmp_path / "out", "card", "float32", max_shard_bytes=40_000)
    files = sorted(f.name for f in out.glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((out / "model.safetensors.index.json").read_text())
    weights = load_file(whole / "model.safetensors")
    assert set(index["weight_map"].values()) == set(files)
    assert index["metadata"]["total_size"] == sum(w.numel() * 4 for w in weights.values())
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(out / file)[name], weights[name])
    for file in files:  # none above the limit but a tensor that is larger by itself
        part = load_file(out / file)
        assert len(part) == 1 or sum(w.numel() * 4 for w in part.values()) <= 40_000
    assert decode(load_model(ModelConfig(path=str(out), device="cpu")), PROMPTS, SPEC) == decode(
        load_model(ModelConfig(path=str(whole), device="cpu")), PROMPTS, SPEC
    )


def test_without_a_hub_repository_there_is_no_auto_map(
    base: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    out = export_merged(base, adapter, tmp_path / "out", "card", "float32")
    config = json.loads((out / "config.json").read_text())
    assert config == json.loads((Path(base.path) / "config.json").read_text())
    assert "auto_map" not in config
    assert (out / "README.md").read_text() == "card"


@pytest.mark.parametrize(
    ("fixture", "published", "home"),
    [("tiny_checkpoint", hub.LLADA, "GSAI-ML/LLaDA-8B-Instruct"),
     ("tiny_dream_checkpoint", hub.DREAM, "Dream-org/Dream-v0-Instruct-7B")],
)  # fmt: skip
@pytest.mark.parametrize("from_hub", [True, False])
def test_auto_map_points_at_the_original_repository(
    fixture, published, home, from_hub: bool, request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a hub id it is that repository, from a local copy with its code the family's."""
    repo = "someone/fine-tuned" if from_hub else home
    folder = tmp_path / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT
    shutil.copytree(request.getfixturevalue(fixture), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": published["auto_map"]}))
    (folder / "modeling_x.py").write_text("raise SystemExit\n")
    (folder / "generation_config.json").write_text('{"eos_token_id": 0}')
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    base = ModelConfig(path=str(folder), device="cpu")
    if from_hub:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        our_hub._snapshot.cache_clear()
        base = ModelConfig(path=repo, revision=COMMIT, device="cpu")
    out = export_merged(base, make_adapter(base, tmp_path / "adapter"), tmp_path / "out", "card", "float32")
    exported = json.loads((out / "config.json").read_text())
    assert exported["auto_map"] == {k: f"{repo}--{v}" for k, v in published["auto_map"].items()}
    assert exported["architectures"] == published["architectures"]
    copied = json.loads((out / "tokenizer_config.json").read_text())
    assert copied["auto_map"]["AutoTokenizer"] == [f"{repo}--tokenization_dream.DreamTokenizer", None]
    assert (out / "generation_config.json").is_file() and not list(out.glob("*.py"))
    load_tokenizer(out)
    ours = load_model(ModelConfig(path=str(out), device="cpu"))
    assert type(AutoModel.from_pretrained(out)) is type(ours)  # the registered class, without any code


def test_the_adapter_alone_loads_with_peft(base: ModelConfig, adapter: Path, tmp_path: Path) -> None:
    out = export_adapter(base, adapter, tmp_path / "out", "card")
    assert sorted(f.name for f in out.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == base.path
    loaded = PeftModel.from_pretrained(load_model(base), str(out)).eval()
    ours = load_adapter(load_model(base), adapter)
    assert decode(base_of(loaded), PROMPTS, SPEC) == decode(base_of(ours), PROMPTS, SPEC)

"""An exported folder is read by plain safetensors and config, by PEFT, and decodes what base and adapter decode."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import HfApi, constants
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from tad_core import checkpoint
from tad_core.config import LoraConfig, ModelConfig
from tad_core.decoding import DecodeSpec, decode
from tad_core.errors import ArtifactError, ConfigError, ModelError
from tad_core.evaluation.generate import load_for_inference
from tad_core.models import export as exporting
from tad_core.models.base import DiffusionLM
from tad_core.models.card import Facts, model_card
from tad_core.models.export import check_push, export_adapter, export_merged, push
from tad_core.models.gguf_export import export_gguf
from tad_core.models.loading import FAMILIES, load_model, load_tokenizer
from tad_core.models.lora import add_lora, base_of, load_adapter, save_adapter
from tests.tad_core.models import hub

COMMIT = "08b83a6feb34df1a6011b80c3c00c7563e963b07"
PROMPTS = [[2, 30, 41, 52], [2, 9, 10, 11, 12, 60], [2, 77]]
SPEC = DecodeSpec(16, 8, "entropy", 1.0, 0.5, early_stop=False)


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def base(request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(path=str(request.getfixturevalue(request.param)), device="cpu")


@pytest.fixture
def adapter(base: ModelConfig, tmp_path: Path) -> Path:
    return make_adapter(base, tmp_path / "adapter")


def make_adapter(base: ModelConfig, folder: Path) -> Path:
    model = add_lora(load_model(base), LoraConfig(rank=4, alpha=8, dropout=0.0), seed=3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    save_adapter(model, folder)
    return folder


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
        checkpoint._snapshot.cache_clear()
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


# --- what goes wrong ----------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_is_left_alone(
    base: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for work in (lambda: export_merged(base, adapter, out, "card", "float32"),
                 lambda: export_adapter(base, adapter, out, "card")):  # fmt: skip
        with pytest.raises(ConfigError, match=r"--out: .* has something in it"):
            work()
    assert [f.name for f in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").unlink()
    export_merged(base, adapter, out, "card", "float32")  # an empty one is taken
    assert (out / "model.safetensors").is_file()


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_a_weight_that_float16_does_not_hold_is_said_rather_than_written_as_infinite(
    base: ModelConfig, adapter: Path, tmp_path: Path, form: str
) -> None:
    large = Path(shutil.copytree(base.path, tmp_path / "large"))
    weights = load_file(large / "model.safetensors")
    name = next(key for key in weights if "wte" in key or "embed_tokens" in key)
    weights[name][5, 3] = -70_000.0
    save_file(weights, large / "model.safetensors", metadata={"format": "pt"})
    wide, out = ModelConfig(path=str(large), device="cpu"), tmp_path / "out"
    with pytest.raises(
        ModelError, match=f"--dtype: {name} has weights beyond 65,504.*use bfloat16 or float32"
    ):
        if form == "gguf":
            pytest.importorskip("gguf")
            export_gguf(wide, adapter, out, "card", "float16", "tiny")
        else:
            export_merged(wide, adapter, out, "card", "float16")
    assert not out.exists()
    written = load_file(export_merged(wide, adapter, out, "card", "bfloat16") / "model.safetensors")
    assert float(written[name][5, 3]) == -70_144.0  # the nearest that bfloat16 has


def test_nothing_is_left_of_an_export_that_fails(
    base: ModelConfig, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_copy_rest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_merged(base, adapter, tmp_path / "somewhere" / "out", "card", "float32")
    assert list((tmp_path / "somewhere").iterdir()) == []


def test_too_little_room_is_said_before_anything_is_written(
    base: ModelConfig, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=1000))
    with pytest.raises(ArtifactError, match="GB free and the weights take"):
        export_merged(base, adapter, tmp_path / "out", "card", "float32")
    assert not (tmp_path / "out").exists()


def change_settings(**changes: object) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        file = adapter / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda a: (a / "adapter_config.json").unlink(), "has no adapter_config.json"),
        (lambda a: (a / "adapter_model.safetensors").unlink(), r"has no adapter_model\.safetensors"),
        (change_settings(use_dora=True), "use_dora True; only plain LoRA"),
        (change_settings(use_rslora=True), "use_rslora True"),
        (change_settings(rank_pattern={"x": 3}), "rank_pattern"),
        (change_settings(peft_type="IA3"), "peft_type 'IA3'"),
    ],
)
def test_adapters_that_are_not_plain_are_refused(tiny_checkpoint, fault, message, tmp_path: Path) -> None:
    base = ModelConfig(path=str(tiny_checkpoint), device="cpu")
    adapter = make_adapter(base, tmp_path / "adapter")
    fault(adapter)
    with pytest.raises(ModelError, match=message):
        export_merged(base, adapter, tmp_path / "out", "card", "float32")


def test_an_adapter_of_another_model_is_refused(
    tiny_checkpoint, tiny_dream_checkpoint, tmp_path: Path
) -> None:
    adapter = make_adapter(ModelConfig(path=str(tiny_dream_checkpoint), device="cpu"), tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"adapts model\.layers\.0\..*, which .* does not have"):
        export_merged(
            ModelConfig(path=str(tiny_checkpoint), device="cpu"), adapter, tmp_path / "out", "c", "float32"
        )


# --- the card -----------------------------------------------------------------------------------------


def point(model: str, accuracy: float, tpf: float) -> dict[str, Any]:
    return {"task": "sums", "model": model, "method": "entropy", "threshold": 0.5, "problems": 48,
            "accuracy": accuracy, "tpf": tpf}  # fmt: skip


def card_of(base: ModelConfig, **changes: Any) -> tuple[dict[str, Any], str]:
    facts: dict[str, Any] = {
        "name": "tiny-quality", "label": "Quality", "method": "TAD",
        "loss": "this one", "base": base, "adapter_only": False, "dtype": "float32",
        "window": 6, "window_source": "calibrated", "training": {"steps": "24 of 64 states"},
        "data": {"sums": "arithmetic, train, 5 problems"}, "points": [point("quality", 62.5, 8.3)],
        "beside": {"base": [point("base", 60.4, 8.01)]},
    }  # fmt: skip
    text = model_card(Facts(**(facts | changes)))
    return yaml.safe_load(text.split("---")[1]), text


def test_the_card_says_what_it_is_made_of(base: ModelConfig) -> None:
    head, text = card_of(base)
    assert (
        head["license"] == "unknown" and "base_model" not in head and head["library_name"] == "transformers"
    )
    assert "| near window | 6 steps (calibrated) |" in text
    assert "| sums | entropy 0.5 | 48 | 62.5 | 8.30 | 60.4 | 8.01 |" in text
    assert "24 of 64 states" in text and "arithmetic, train, 5 problems" in text
    _, bare = card_of(base, points=[], beside={}, window=None, method="Fine-tuning")
    assert "has not been evaluated" in bare and "none: random masks" in bare
    assert "TAD, Quality: LoRA" in text and "| loss | this one |" in text and "Fine-tuning: LoRA" in bare


def test_the_card_of_a_round_says_what_it_began_from(base: ModelConfig) -> None:
    beside = {"base": [point("base", 60.4, 8.01)], "one": [point("one", 61.0, 8.2)], "other": []}
    _, text = card_of(base, after=["one"], weights="merge/1", beside=beside)
    assert f"merged in float32 into `{base.path}`, after that of `one`;" in text and "merge/1" not in text
    assert "| base: accuracy | base: TPF | one: accuracy | one: TPF |\n" in text
    assert "| sums | entropy 0.5 | 48 | 62.5 | 8.30 | 60.4 | 8.01 | 61.0 | 8.20 |" in text
    _, adapter = card_of(base, after=["one", "two"], weights="merge/2", adapter_only=True)
    assert (
        f"LoRA adapter for `{base.path}` with those of `one` and `two` of the same run merged into it (`merge/2`)"
        in adapter
    )


def test_licence_and_base_come_from_the_base(tiny_checkpoint: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "models--someone--model" / "snapshots" / COMMIT
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# It\n")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    checkpoint._snapshot.cache_clear()
    head, text = card_of(ModelConfig(path="someone/model", revision=COMMIT))
    assert (head["license"], head["base_model"]) == ("mit", "someone/model")
    assert COMMIT in text and "`mit`, that of `someone/model`" in text
    head, _ = card_of(ModelConfig(path="someone/model", revision=COMMIT), adapter_only=True)
    assert (head["library_name"], head["base_model_relation"]) == ("peft", "adapter")


# --- the hub ------------------------------------------------------------------------------------------


def test_pushing_is_private_unless_asked_and_says_how_to_go_on(tmp_path: Path, monkeypatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda _, repo, **o: calls.append((repo, o)))
    monkeypatch.setattr(HfApi, "upload_folder", lambda _, **o: calls.append((o["repo_id"], o)))
    assert push(tmp_path, "me/model") == "https://huggingface.co/me/model"
    assert calls[0] == ("me/model", {"private": True, "exist_ok": True})
    assert calls[1][1]["folder_path"] == str(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("403")

    monkeypatch.setattr(HfApi, "upload_folder", refuse)
    with pytest.raises(
        ModelError, match=r"was not written \(403\); the folder .* is complete, `hf upload me/model"
    ):
        push(tmp_path, "me/model")


def test_a_push_that_cannot_work_is_refused_before_the_work(monkeypatch) -> None:
    with pytest.raises(ConfigError, match="is not the name of a repository"):
        check_push("model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        check_push("me/model")

    def unknown(_: HfApi) -> None:
        raise OSError("no token")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "whoami", unknown)
    with pytest.raises(ConfigError, match=r"does not know you \(no token\); `hf auth login`"):
        check_push("me/model")

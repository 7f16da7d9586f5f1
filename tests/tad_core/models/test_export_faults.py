"""What an export cannot do is said before anything is written, and nothing is left of one that fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tad_core.config import ModelConfig
from tad_core.errors import ArtifactError, ConfigError, ModelError
from tad_core.models import export as exporting
from tad_core.models.export import export_adapter, export_merged
from tad_core.models.gguf_export import export_gguf
from tests.tad_core.models.adapters import make_adapter


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
        (
            change_settings(alora_invocation_tokens=[5, 7]),
            r"alora_invocation_tokens \[5, 7\]; only plain LoRA",
        ),
        (change_settings(init_lora_weights="pissa_niter_4"), "'pissa_niter_4', which changes the base's own"),
        (
            change_settings(init_lora_weights="olora"),
            "init_lora_weights 'olora'.*save_pretrained with path_initial",
        ),
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

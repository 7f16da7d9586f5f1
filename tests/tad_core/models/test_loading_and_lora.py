from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging

from tad_core import checkpoint
from tad_core.artifacts import folder_fingerprint
from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.models import LLaDAModelLM
from tad_core.models.loading import check_model, load_model, load_tokenizer, model_fingerprint, resolve_device
from tad_core.models.lora import add_lora, base_of, load_adapter, save_adapter
from tests.waiting import CEILING_S


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "drop"}))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda f: shutil.rmtree(f), "is not a folder"),
        (lambda f: (f / "config.json").unlink(), "has no config.json; it is not a checkpoint"),
        (lambda f: (f / "config.json").rename(f / "m.gguf"), "has no config.json; it holds a GGUF file"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json cannot be read \(Expecting"),
        (lambda f: edit(f, model_type="gpt2"), "is of type 'gpt2'; supported: llada, Dream"),
        (lambda f: edit(f, mask_token_id="drop"), "has no mask_token_id; a masked diffusion model needs one"),
        (
            lambda f: (f / "model.safetensors").unlink(),
            r"has no model\.safetensors and no model\.safetensors\.index",
        ),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    ],
)
def test_faults_are_named_before_weights_are_read(copy: Path, fault, message: str) -> None:
    fault(copy)
    with pytest.raises(ModelError, match=message):
        check_model(ModelConfig(path=str(copy)))


def test_weights_that_do_not_fit_are_refused(copy: Path) -> None:
    edit(copy, n_layers=3)
    with pytest.raises(ModelError, match=r"does not fit its config\.json"):
        load_model(ModelConfig(path=str(copy)), "cpu")


def test_a_gpu_that_is_not_here() -> None:
    with pytest.raises(ModelError, match=r"cuda:99 is not here"):
        resolve_device("cuda:99")
    with pytest.raises(ModelError, match="is not a device"):
        resolve_device("tpuu")


def test_identity_is_the_files(tiny_checkpoint: Path, copy: Path) -> None:
    assert model_fingerprint(copy) == model_fingerprint(tiny_checkpoint)
    edit(copy, rope_theta=1.0)
    assert model_fingerprint(copy) != model_fingerprint(tiny_checkpoint)


def test_weights_are_hashed_once_and_a_changed_file_is_noticed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path, *rest: Any) -> str:
        read.append(Path(path))
        return folder_fingerprint(path, *rest)

    monkeypatch.setattr(checkpoint, "folder_fingerprint", counted)
    first = model_fingerprint(copy)
    assert model_fingerprint(copy) == first == model_fingerprint(str(copy))
    assert read == [copy]

    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # same size
    weights.write_bytes(data)
    assert model_fingerprint(copy) != first
    assert read == [copy, copy]
    data[-1] ^= 1
    weights.write_bytes(data)
    assert model_fingerprint(copy) == first
    (copy / "tokenizer.json").unlink()
    assert model_fingerprint(copy) != first


def test_tokenizer_without_template(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_tokenizer(copy)


def test_nothing_is_printed_on_the_way(copy: Path, tmp_path: Path) -> None:
    """Not a bar, not a warning: from loading to adapter and back; another process, so that nothing is configured."""
    steps = f"""
from tad_core.config import LoraConfig, ModelConfig
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.models.lora import add_lora, load_adapter, save_adapter
model = load_model(ModelConfig(path={str(copy)!r}), "cpu")
load_tokenizer({str(copy)!r})
model.save_pretrained({str(tmp_path / "again")!r})
save_adapter(add_lora(model, LoraConfig(rank=2), 0), {str(tmp_path / "adapter")!r})
load_adapter(load_model(ModelConfig(path={str(copy)!r}), "cpu"), {str(tmp_path / "adapter")!r}).merge_and_unload()
"""
    ran = subprocess.run(
        [sys.executable, "-c", steps], capture_output=True, text=True, timeout=CEILING_S, check=True
    )
    assert (ran.stdout, ran.stderr) == ("", "")


@pytest.mark.parametrize("shown", [True, False])
def test_bars_are_left_as_they_were(tiny_checkpoint: Path, shown: bool) -> None:
    before = logging.is_progress_bar_enabled()
    try:
        logging.enable_progress_bar() if shown else logging.disable_progress_bar()
        fresh(tiny_checkpoint)
        assert logging.is_progress_bar_enabled() == shown
    finally:
        logging.enable_progress_bar() if before else logging.disable_progress_bar()


def test_peft_is_told_of_checkpointing(tiny_checkpoint: Path) -> None:
    model = fresh(tiny_checkpoint)
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing = True
    assert model.is_gradient_checkpointing


def fresh(folder: Path) -> LLaDAModelLM:
    return load_model(ModelConfig(path=str(folder)), "cpu")


def test_fresh_adapter_is_the_identity_and_off_is_the_base(tiny_checkpoint: Path) -> None:
    ids = torch.randint(7, 600, (2, 11))
    with torch.no_grad():
        plain = fresh(tiny_checkpoint)(ids)
        model = add_lora(fresh(tiny_checkpoint), LoraConfig(rank=2, alpha=4, dropout=0.0), seed=0).eval()
        assert torch.equal(base_of(model)(ids), plain)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3)
        assert not torch.allclose(base_of(model)(ids), plain, atol=1e-3)
        with model.disable_adapter():
            assert torch.equal(base_of(model)(ids), plain)


def test_saved_adapter_gives_the_same_logits(tiny_checkpoint: Path, tmp_path: Path) -> None:
    ids = torch.randint(7, 600, (2, 11))
    model = add_lora(fresh(tiny_checkpoint), LoraConfig(rank=2, alpha=4, dropout=0.0), seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
        save_adapter(model, tmp_path / "adapter")
        again = load_adapter(fresh(tiny_checkpoint), tmp_path / "adapter")
        assert torch.equal(base_of(again)(ids), base_of(model)(ids))
    with pytest.raises(ModelError, match=r"no adapter_config.json"):
        load_adapter(fresh(tiny_checkpoint), tmp_path)


def test_same_seed_same_adapter(tiny_checkpoint: Path) -> None:
    first, second, other = (
        [p.detach() for n, p in add_lora(fresh(tiny_checkpoint), LoraConfig(rank=2, alpha=2), seed=s).named_parameters()
         if "lora_A" in n] for s in (1, 1, 2)
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])

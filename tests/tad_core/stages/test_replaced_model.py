"""Another model under the same path, while a run goes on: nothing is made of the two."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tad_core.artifacts import Store
from tad_core.checkpoint import check_unchanged, model_fingerprint
from tad_core.errors import ModelError
from tad_core.stages.calibrate import calibrate
from tad_core.stages.collect import collect, key
from tad_core.stages.distill import spec_of
from tad_core.stages.evaluate import evaluate
from tad_core.training.recorder import StopRequest
from tad_core.training.run import train
from tests.tad_core.stages.changing import changed

SAID = "is not the checkpoint any more that this run began with"


class Swap:
    """Replaces the weights in a folder by others of the same shape, and back."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "model.safetensors"
        self.before = self.file.read_bytes()
        tensors = {name: value * 1.5 for name, value in load_file(self.file).items()}
        save_file(tensors, folder.parent / "other.safetensors", metadata={"format": "pt"})
        self.after = (folder.parent / "other.safetensors").read_bytes()
        assert len(self.after) == len(self.before)

    def put(self, content: bytes) -> None:
        part = self.file.with_name("part")
        part.write_bytes(content)
        part.replace(self.file)

    def on_progress(self, _: object) -> None:
        self.put(self.after)


@pytest.fixture
def own(config, tiny_checkpoint, tmp_path):
    """The run with a checkpoint of its own, its store, and what replaces the weights."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    mine = changed(config, model={"path": str(folder)}, rollout={"shard_size": 1, "workers": 1})
    return mine, Store(tmp_path / "store"), Swap(folder)


@pytest.fixture
def collected(own, made):
    """What was made with the shared checkpoint, for a run with the same one under its own path."""
    _, collection, filtered = made
    assert collection.manifest.info["base"] == model_fingerprint(own[0].model)
    return collection, filtered


def test_weights_replaced_under_a_collection(own):
    config, store, swap = own
    before = key(config)
    with pytest.raises(ModelError, match=SAID):
        collect(config, store, swap.on_progress)
    after = key(config)
    assert after != before and not Path(store.url("collect", after)).exists()
    begun = {path.name: path.stat().st_mtime_ns for path in Path(store.url("collect", before)).glob("*.json")}
    assert "manifest.json" not in begun
    swap.put(swap.before)
    whole = collect(config, store)
    assert whole.fingerprint == before
    there = {path.name: path.stat().st_mtime_ns for path in Path(store.url("collect", before)).glob("*.json")}
    assert begun.items() <= there.items()


def test_weights_replaced_before_calibration_and_under_it(own, collected):
    config, store, swap = own
    for listener in (lambda _: None, swap.on_progress):
        swap.put(swap.after if listener is not swap.on_progress else swap.before)
        with pytest.raises(ModelError, match=SAID):
            calibrate(config, *collected, store, on_progress=listener)
    assert not list(Path(store.root).glob("calibrate/*/manifest.json"))
    swap.put(swap.before)
    assert calibrate(config, *collected, store).stage == "calibrate"


def test_weights_replaced_before_training(own, collected, windows, tmp_path):
    config, _, swap = own
    spec = spec_of(config, "quality", *collected, windows, tmp_path / "work", "m" * 32)
    swap.put(swap.after)
    with pytest.raises(ModelError, match=SAID):
        train(spec, StopRequest())
    assert not list((tmp_path / "work").glob("checkpoint-*"))
    swap.put(swap.before)
    assert train(spec, StopRequest())


@pytest.mark.usefixtures("forked_decoders")
def test_weights_replaced_under_an_evaluation(own):
    config, store, swap = own
    with pytest.raises(ModelError, match=SAID):
        evaluate(config, "base", None, store, swap.on_progress)
    assert not list(Path(store.root).glob("evaluate/*/manifest.json"))
    assert not list(Path(store.root).glob("decode/*/*.json"))


def test_a_chat_template_or_a_tokenizer_is_part_of_it(own):
    config, _, _ = own
    folder = Path(config.model.path)
    for file in (next(folder.glob("*.jinja"), folder / "tokenizer_config.json"), folder / "tokenizer.json"):
        known, text = model_fingerprint(config.model), file.read_text()
        file.write_text(re.sub(r"\Z", " ", text))
        with pytest.raises(ModelError, match=SAID):
            check_unchanged(config.model, known)
        file.write_text(text)
        check_unchanged(config.model, known)


def test_files_that_were_copied_with_their_times_are_seen(own):
    """As by `cp -p`: the same size and time of writing."""
    config, _, swap = own
    known, times = model_fingerprint(config.model), swap.file.stat()
    swap.put(swap.after)
    os.utime(swap.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ModelError, match=SAID):
        check_unchanged(config.model, known)
    swap.put(swap.before)
    os.utime(swap.file)
    check_unchanged(config.model, known)  # another time alone is no other model

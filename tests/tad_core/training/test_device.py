"""Which GPU a training process sees, and whether it compiles."""

from __future__ import annotations

import os

import pytest
import torch

from tad_core.errors import ConfigError
from tad_core.training import device as device_module
from tad_core.training.device import compiles, hide_other_gpus


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("auto", None, "0"),
        ("cuda:1", None, "1"),
        ("cuda:1", "4,6", "6"),
        ("auto", "4,6", "4"),
        ("cpu", "4,6", "4,6"),
        ("auto", "", ""),
    ],
)
def test_one_gpu_stays_visible(monkeypatch, device, visible, expected):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # set first, so that it is as before afterwards
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    hide_other_gpus(device)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


@pytest.mark.parametrize(("device", "visible"), [("cuda:2", "4,6"), ("cuda", "")])
def test_a_gpu_that_is_hidden_is_refused(monkeypatch, device, visible):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match="not visible"):
        hide_other_gpus(device)


@pytest.mark.parametrize(
    ("compile", "device", "expected"),
    [("auto", "cpu", False), ("auto", "cuda", True), ("on", "cpu", True), ("off", "cuda", False)],
)
def test_layers_are_compiled_on_a_gpu_unless_it_is_said_otherwise(
    world, monkeypatch, compile, device, expected
):
    monkeypatch.setattr(device_module, "has_triton", lambda: True)
    monkeypatch.setenv("CC", "cc")
    assert compiles(world.make_config(compile=compile), torch.device(device)) is expected


@pytest.mark.parametrize("missing", ["triton", "a C compiler"])
def test_without_what_it_takes_auto_does_not_compile(world, monkeypatch, missing):
    monkeypatch.setattr(device_module, "has_triton", lambda: missing != "triton")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(
        device_module.shutil, "which", lambda name: None if missing == "a C compiler" else name
    )
    assert not compiles(world.make_config(), torch.device("cuda"))

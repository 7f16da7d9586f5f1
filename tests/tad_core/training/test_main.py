"""The process that trains: what it tells its parent of bad input, of numbers, memory and a disk that gave out."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tad_core.training import run as running
from tad_core.training.__main__ import main, set_allocator
from tad_core.training.exits import CHILD_VARIABLE, ERROR_PREFIX, EXIT_OUT_OF_MEMORY, parent_tag
from tad_core.training.recorder import Recorder, StopRequest
from tad_core.training.run import train
from tad_core.training.spec import write_spec
from tad_core.training.trainer import DistillTrainer


def report_of(text):
    (line,) = [line for line in text.splitlines() if line.startswith(ERROR_PREFIX)]
    return json.loads(line.removeprefix(ERROR_PREFIX))


@pytest.fixture
def run_main(world, tmp_path, capfd):
    """``main`` in a forked child: exit status and everything printed."""

    def run(path, before=lambda: None):
        def work():
            before()
            return main([str(path)])

        status = world.wait(world.fork(work))
        return status, capfd.readouterr().out

    return run


def test_bad_input_is_told_and_exits_2(world, checkpoint, tmp_path, run_main):
    status, text = run_main(tmp_path / "none.json")
    assert status == 2 and report_of(text)["kind"] == "ConfigError"
    spec = world.make_spec(tmp_path, checkpoint)
    model = spec.model.model_copy(update={"path": str(tmp_path / "nowhere")})
    write_spec(spec.model_copy(update={"model": model}), tmp_path / "spec.json")
    status, text = run_main(tmp_path / "spec.json")
    assert status == 2 and report_of(text)["kind"] == "ModelError" and "nowhere" in report_of(text)["message"]


def test_one_process_is_no_rank_of_what_its_parent_was_started_in(
    world, checkpoint, tmp_path, run_main, monkeypatch
):
    """A scheduler that numbers the pods or tasks of a job does so for the run, not for the trainings it starts."""
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        CHILD_VARIABLE: parent_tag(),
    }.items():
        monkeypatch.setenv(name, value)
    write_spec(world.make_spec(tmp_path, checkpoint, max_steps=1), tmp_path / "spec.json")
    status, text = run_main(tmp_path / "spec.json", lambda: signal.alarm(60))
    assert status == 0 and "on 1 x cpu" in text


def test_a_diverging_loss_is_bad_input(world, checkpoint, tmp_path, run_main):
    write_spec(world.make_spec(tmp_path, checkpoint, learning_rate=1e12), tmp_path / "spec.json")
    status, text = run_main(tmp_path / "spec.json")
    assert status == 2 and report_of(text)["kind"] == "TrainingError"
    assert "distill.learning_rate 1e+12" in report_of(text)["message"]
    assert "no checkpoint was due" in report_of(text)["message"]


def poison(step, value):
    """Once ``step`` is to be done, one weight's gradient is ``value`` after the backward pass; the loss is finite."""
    original = DistillTrainer.training_step

    def training_step(self, model, inputs, *rest):
        loss = original(self, model, inputs, *rest)
        if self.state.global_step + 1 == step:
            next(p for p in model.parameters() if p.grad is not None).grad.view(-1)[0] = value
        return loss

    DistillTrainer.training_step = training_step


@pytest.mark.thinned(6)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", [5, 6, 8])  # in between, where a checkpoint is due, the last
def test_a_gradient_that_is_not_finite_reaches_no_checkpoint(
    world, checkpoint, tmp_path, run_main, undisturbed, step, value
):
    spec = world.make_spec(tmp_path / "poisoned", checkpoint, save_steps=3)
    write_spec(spec, tmp_path / "spec.json")
    status, text = run_main(tmp_path / "spec.json", lambda: poison(step, value))
    report, good = report_of(text), 3 if step <= 6 else 6
    assert status == 2 and report["kind"] == "TrainingError"
    assert f"step {step} failed: the norm of its gradient is" in report["message"]
    assert f"the checkpoint of step {good}, from before it, is good" in report["message"]
    output = Path(spec.output)
    kept = sorted(p.name for p in output.glob("checkpoint-*"))
    assert kept[-1] == f"checkpoint-{good}" and not (output / "adapter").exists()
    assert all(
        weight.isfinite().all()
        for folder in kept
        for weight in load_file(output / folder / "adapter_model.safetensors").values()
    )
    assert train(spec, StopRequest()), "the checkpoint is what the message says of it"
    made = [
        Path(one.output, "adapter", "adapter_model.safetensors").read_bytes() for one in (spec, undisturbed)
    ]
    assert made[0] == made[1]


def overflow(step):
    """The optimizer makes a weight infinite in ``step``, of a gradient that is finite."""
    original = Recorder.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            with torch.no_grad():
                next(p for p in kwargs["model"].parameters() if p.requires_grad).view(-1)[0] = math.inf
        return original(self, args, state, control, **kwargs)

    Recorder.on_step_end = on_step_end


@pytest.mark.parametrize("step", [6, 8])
def test_weights_that_are_not_finite_are_not_written(world, checkpoint, tmp_path, run_main, step):
    spec = world.make_spec(tmp_path, checkpoint, save_steps=3)
    write_spec(spec, tmp_path / "spec.json")
    status, text = run_main(tmp_path / "spec.json", lambda: overflow(step))
    assert status == 2 and report_of(text)["kind"] == "TrainingError"
    assert (
        "lora_A" in report_of(text)["message"] and "weights that are not finite" in report_of(text)["message"]
    )
    assert not (Path(spec.output) / "adapter").exists()
    assert not (Path(spec.output) / f"checkpoint-{step}").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_has_its_own_status(world, checkpoint, tmp_path, run_main, error):
    write_spec(world.make_spec(tmp_path, checkpoint), tmp_path / "spec.json")

    def before():
        def fails(*_, **__):
            raise error

        DistillTrainer.training_step = fails

    status, text = run_main(tmp_path / "spec.json", before)
    assert status == EXIT_OUT_OF_MEMORY and report_of(text)["kind"] == "BatchMemoryError"


@pytest.mark.parametrize("largest_bytes", [8_000, 30_000])  # the adapter, the optimizer
def test_a_full_disk_is_told_as_such(world, checkpoint, tmp_path, run_main, largest_bytes):
    spec = world.make_spec(tmp_path, checkpoint, save_steps=3)
    write_spec(spec, tmp_path / "spec.json")

    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, largest_bytes))

    status, text = run_main(tmp_path / "spec.json", before)
    assert status == 2 and report_of(text)["kind"] == "ArtifactError"
    assert "cannot be written" in report_of(text)["message"]
    assert train(spec, StopRequest())  # room again: the same call goes on


@pytest.mark.parametrize(
    ("folder", "told"), [("cache/work", "TAD_CACHE: .* set TAD_CACHE to"), ("store", "output: .* store")]
)
def test_a_full_disk_is_told_with_the_remedy_of_where_checkpoints_are(
    world, checkpoint, tmp_path, run_main, monkeypatch, folder, told
):
    """With a remote store they are in this host's own folder."""
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    spec = world.make_spec(tmp_path, checkpoint).model_copy(update={"output": str(tmp_path / folder / "x")})
    write_spec(spec, tmp_path / "spec.json")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    status, text = run_main(tmp_path / "spec.json", lambda: setattr(running, "train", full))
    assert status == 2 and re.match(told, report_of(text)["message"])


def test_a_fault_of_ours_keeps_its_traceback(world, checkpoint, tmp_path, run_main):
    write_spec(world.make_spec(tmp_path, checkpoint), tmp_path / "spec.json")

    def before():
        DistillTrainer.training_step = lambda *_: (_ for _ in ()).throw(RuntimeError("a fault"))

    status, text = run_main(tmp_path / "spec.json", before)
    assert status == 1 and ERROR_PREFIX not in text


def test_memory_of_a_gpu_grows_piece_by_piece_unless_somebody_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    set_allocator()
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "backend:cudaMallocAsync")
    set_allocator()
    assert "PYTORCH_CUDA_ALLOC_CONF" not in os.environ

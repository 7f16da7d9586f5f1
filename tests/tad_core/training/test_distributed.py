"""Whole runs of two processes under the real launchers: the same numbers as one process, also after kill -9."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import threading
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from tad_core.config import LoraConfig
from tad_core.errors import ConfigError, SubprocessError
from tad_core.training import checkpoint as checkpoints
from tad_core.training.command import free_port
from tad_core.training.join import join
from tad_core.training.launch import launch
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained
from tests.waiting import CEILING_S, until

ZERO2 = str(Path(__file__).resolve().parents[3] / "configs" / "deepspeed" / "zero2.json")
DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)
WET = LoraConfig(rank=4, alpha=4, dropout=0.1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install -e .[gpu]"
)
WAYS = [
    pytest.param({"launcher": "torchrun"}, id="torchrun"),
    pytest.param({"launcher": "torchrun", "deepspeed": ZERO2}, id="torchrun-zero2", marks=needs_deepspeed),
    pytest.param({"launcher": "deepspeed", "deepspeed": ZERO2}, id="deepspeed-zero2", marks=needs_deepspeed),
]


@pytest.fixture(autouse=True)
def _on_cpus(monkeypatch):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def make(world, checkpoint, tmp_path):
    def build(name, **config):
        settings = {
            "processes": 2,
            "micro_batch_size": 2,
            "log_steps": 1,
            "save_steps": 3,
            "lora": DRY,
            **config,
        }
        return world.make_spec(tmp_path / name, checkpoint, **settings)

    return build


def figures(spec):
    return figures_in(Path(spec.output))


def figures_in(folder):
    names = ("step", "loss", "near_count", "distant_count", "grad_norm", "lr")
    return [[row[name] for name in names] for row in read_losses(folder / "losses.jsonl")]


def adapter(spec):
    return adapter_in(Path(spec.output))


def adapter_in(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def killed_at(spec, step, whose=""):
    """Run until ``step`` is told, then kill -9 the launcher and everything it started."""

    def kill(line):
        if line.startswith(f"{whose}step {step}/"):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    with pytest.raises(SubprocessError):
        launch(spec, kill)


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_give_the_steps_of_one(make, way):
    one = make("one", processes=1)
    assert train(one, StopRequest())
    two = make("two", **way)
    launch(two)
    for a, b in zip(figures(one), figures(two), strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    # Adam divides by the gradient's own size, so that rounding shows where a gradient is all but zero.
    for name, weight in adapter(one).items():
        assert_close(weight, adapter(two)[name], rtol=1e-2, atol=2e-4)
    summary = json.loads((Path(two.output) / "summary.json").read_text())
    assert summary["processes"] == 2 and summary["steps"] == 8


@pytest.mark.parametrize("way", WAYS[:2])
def test_after_kill_9_two_processes_end_as_undisturbed(make, way):
    undisturbed = make("undisturbed", lora=WET, **way)
    launch(undisturbed)
    spec = make("killed", lora=WET, **way)
    killed_at(spec, 7)
    newest = checkpoints.newest(Path(spec.output), spec.mark)
    assert newest and checkpoints.step_of(newest) == 6
    (shard,) = newest.rglob("zero_pp_rank_1*") if "deepspeed" in way else [newest / "optimizer.pt"]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # one flipped bit: the size tells nothing
    shard.write_bytes(content)
    lines = []
    launch(spec, lines.append)
    assert any(line.startswith("resuming from step 3:") for line in lines)
    assert figures(spec) == figures(undisturbed)
    assert all((weight == adapter(undisturbed)[name]).all() for name, weight in adapter(spec).items())


def test_after_kill_9_two_processes_with_two_models_end_as_undisturbed(make):
    """Also where one process was killed while the checkpoints of a step were written: that of one model is there."""

    def both(name):
        spec = make(name, lora=WET, launcher="torchrun")
        other = AlsoTrained(
            name="speed", window=5, run_id="s", output=str(Path(spec.output).parent / "speed")
        )
        return spec.model_copy(update={"name": "quality", "also": [other]})

    undisturbed = both("undisturbed")
    launch(undisturbed)
    spec = both("killed")
    killed_at(spec, 7, "quality: ")
    kept = [checkpoints.newest(run.output, run.mark) for run in spec.adapters]
    assert [checkpoints.step_of(folder) for folder in kept] == [6, 6]
    shutil.rmtree(kept[1])
    lines = []
    launch(spec, lines.append)
    assert any(line.startswith("resuming from step 3:") for line in lines)
    assert any("quality and speed in one pass" in line for line in lines)
    found, expected = (
        [(figures_in(run.output), adapter_in(run.output)) for run in s.adapters] for s in (spec, undisturbed)
    )
    assert expected[0][0] != expected[1][0]  # two models, two losses
    for (rows, weights), (expected_rows, expected_weights) in zip(found, expected, strict=True):
        assert rows == expected_rows and len(rows) == 8
        assert all((weight == weights[name]).all() for name, weight in expected_weights.items())


@needs_deepspeed
def test_zero_does_not_go_on_with_other_processes(make):
    way = {"launcher": "torchrun", "deepspeed": ZERO2}
    spec = make("killed", **way)
    killed_at(spec, 4)
    with pytest.raises(
        ConfigError, match=r"was written with ZeRO on 2 processes, and this run has ZeRO on 1"
    ):
        launch(make("killed", **{**way, "processes": 1}))


def test_without_zero_another_number_of_processes_goes_on(make):
    spec = make("killed", launcher="torchrun")
    killed_at(spec, 5)
    again = make("killed", processes=1)
    assert train(again, StopRequest())
    undisturbed = make("undisturbed", processes=1)
    assert train(undisturbed, StopRequest())
    for a, b in zip(figures(again), figures(undisturbed), strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_bad_input_of_all_is_told_once_and_plainly(make, tmp_path):
    spec = make("bad", launcher="torchrun")
    model = spec.model.model_copy(update={"path": str(tmp_path / "nowhere")})
    with pytest.raises(Exception, match="nowhere is not a folder") as caught:
        launch(spec.model_copy(update={"model": model}))
    assert type(caught.value).__name__ == "ModelError"


@pytest.mark.parametrize("way", WAYS)
def test_all_processes_die_with_the_one_that_launched_them(world, make, way):
    spec = make("orphaned", max_steps=4000, **way)
    parent = world.fork(lambda: launch(spec) and 0)
    until(lambda: checkpoints.newest(Path(spec.output), spec.mark), "the first checkpoint is there")
    family = psutil.Process(parent).children(recursive=True)
    assert len(family) >= 3  # the launcher and two ranks
    os.kill(parent, signal.SIGKILL)
    world.wait(parent)
    _, alive = psutil.wait_procs(family, timeout=CEILING_S)
    assert not alive
    assert checkpoints.newest(Path(spec.output), spec.mark)  # what it left is whole


def test_two_hosts_meet_in_a_shared_folder(make, monkeypatch):
    """Both are this machine: the pipeline's side in a thread, ``tad join`` here."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    spec = make("shared", launcher="torchrun", nodes=2, processes=1, rendezvous=None)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    one = make("one", processes=1)
    failures = []

    def pipeline():
        try:
            launch(spec)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=pipeline)
    thread.start()
    said = []
    join(Path(spec.output), None, said.append, once=True)
    thread.join()
    assert not failures and said[-1] == "done" and said[1].startswith("host 1 of 2 in ")
    assert (
        not list(Path(spec.output).glob(".seat-*")) and not (Path(spec.output) / "invitation.json").exists()
    )
    assert train(one, StopRequest())
    for a, b in zip(figures(one), figures(spec), strict=True):
        assert a == pytest.approx(b, rel=1e-5)

"""Whole runs: kill -9, SIGTERM, resume, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from tad_core.data.problem import Problem
from tad_core.errors import ConfigError, DataError
from tad_core.training import checkpoint as checkpoints
from tad_core.training import run as run_module
from tad_core.training.__main__ import main
from tad_core.training.exits import EXIT_INTERRUPTED
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import parse_spec, write_spec
from tad_core.training.trainer import DistillTrainer
from tests.waiting import until


def losses_of(spec):
    return [
        {k: v for k, v in row.items() if k != "wall_s"}
        for row in read_losses(Path(spec.output) / "losses.jsonl")
    ]


def adapter_of(spec):
    return (Path(spec.output) / "adapter" / "adapter_model.safetensors").read_bytes()


def test_the_next_training_of_a_process_has_settings_of_its_own(world, checkpoint, tmp_path, monkeypatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    specs = [
        world.make_spec(tmp_path / str(i), checkpoint, seed=i, report_to=["tensorboard"]) for i in range(2)
    ]
    torch.set_num_threads(2)
    found = []

    def seen(*_):
        found.append((os.environ["TENSORBOARD_LOGGING_DIR"], torch.get_num_threads()))
        return []

    monkeypatch.setattr(run_module, "passes", seen)
    for spec in specs:
        assert train(spec, StopRequest())
    assert found == [(f"runs/tensorboard/{spec.mark}", 1) for spec in specs]
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ and torch.get_num_threads() == 2


@pytest.mark.thinned(3)
@pytest.mark.parametrize("step", [5, 2, 7])
def test_after_kill_9_the_run_ends_as_the_undisturbed_one(world, checkpoint, tmp_path, undisturbed, step):
    spec = world.make_spec(tmp_path / "killed", checkpoint, save_steps=3)

    world.killed_at(spec, step)
    newest = checkpoints.newest(Path(spec.output), spec.mark)
    assert (checkpoints.step_of(newest) if newest else 0) == (step - 1) // 3 * 3
    assert train(spec, StopRequest())
    assert losses_of(spec) == losses_of(undisturbed)
    assert adapter_of(spec) == adapter_of(undisturbed)


def test_a_kill_while_saving_costs_that_checkpoint_only(world, checkpoint, tmp_path, undisturbed):
    spec = world.make_spec(tmp_path / "killed", checkpoint, save_steps=3)

    def work():
        original = checkpoints.seal

        def deadly(folder, mark, layout):
            if checkpoints.step_of(folder) == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            original(folder, mark, layout)

        checkpoints.seal = deadly
        train(spec, StopRequest())
        return 0

    assert world.wait(world.fork(work)) == -signal.SIGKILL
    output = Path(spec.output)
    assert (output / "checkpoint-6").exists()
    assert checkpoints.step_of(checkpoints.newest(output, spec.mark)) == 3
    assert train(spec, StopRequest())
    assert losses_of(spec) == losses_of(undisturbed)
    assert adapter_of(spec) == adapter_of(undisturbed)


def test_the_losses_before_a_checkpoint_are_on_the_disk_when_it_counts(
    world, checkpoint, tmp_path, monkeypatch
):
    spec = world.make_spec(tmp_path, checkpoint, save_steps=3)
    synced, done = {}, []

    def sync(handle):
        seen = os.fstat(handle)
        synced[seen.st_ino] = seen.st_size

    def sealed(folder, *rest):
        losses = folder.parent / "losses.jsonl"
        assert synced[losses.stat().st_ino] == losses.stat().st_size
        done.append((checkpoints.step_of(folder), losses.read_text().count("\n")))

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(checkpoints, "seal", sealed)
    assert train(spec, StopRequest())
    assert done == [(3, 3), (6, 6)]


def test_what_is_wrong_with_the_data_is_said_before_the_weights_are_read(
    world, checkpoint, tmp_path, monkeypatch
):
    def read(*_):
        raise AssertionError("weights are read")

    monkeypatch.setattr(run_module, "load_model", read)
    spec = world.make_spec(tmp_path, checkpoint, trajectories="plain")  # of which there is none
    with pytest.raises(DataError, match="none of the plain trajectories in 1 shards is kept"):
        train(spec, StopRequest())


def test_a_damaged_newest_checkpoint_costs_that_one_only(world, checkpoint, tmp_path, undisturbed):
    spec = world.make_spec(tmp_path / "killed", checkpoint, save_steps=3)

    world.killed_at(spec, 8)
    damaged = Path(spec.output) / "checkpoint-6" / "optimizer.pt"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert checkpoints.step_of(checkpoints.newest(Path(spec.output), spec.mark)) == 3
    assert train(spec, StopRequest())
    assert losses_of(spec) == losses_of(undisturbed)
    assert adapter_of(spec) == adapter_of(undisturbed)


@pytest.mark.parametrize("listening", [True, False])
def test_sigterm_saves_and_the_next_call_goes_on(world, checkpoint, tmp_path, listening):
    spec = world.make_spec(tmp_path, checkpoint, max_steps=400, log_steps=1, save_steps=1000)
    write_spec(spec, tmp_path / "spec.json")

    def work():
        if not listening:  # a killed parent leaves a pipe that nobody reads
            read_end, write_end = os.pipe()
            os.close(read_end)
            sys.stdout = os.fdopen(write_end, "w")
        return main([str(tmp_path / "spec.json")])

    pid = world.fork(work)
    losses = Path(spec.output) / "losses.jsonl"
    until(lambda: losses.exists() and losses.stat().st_size, "the first step is logged")
    os.kill(pid, signal.SIGTERM)
    assert world.wait(pid) == EXIT_INTERRUPTED
    done = checkpoints.step_of(checkpoints.newest(Path(spec.output), spec.mark))
    assert 0 < done < 400
    assert len(losses_of(spec)) == done  # every step that was done is on file
    assert not (Path(spec.output) / "summary.json").exists()

    world.killed_at(spec, done + 3)  # enough to see where it goes on
    assert [row["step"] for row in losses_of(spec)] == list(range(1, done + 3))


def test_a_finished_run_is_not_run_again(undisturbed, monkeypatch):
    before = (Path(undisturbed.output) / "summary.json").read_text()
    monkeypatch.setattr(DistillTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    assert train(undisturbed, StopRequest())
    assert (Path(undisturbed.output) / "summary.json").read_text() == before


def test_another_finished_run_in_the_folder_is_refused(undisturbed):
    with pytest.raises(ConfigError, match="another finished run"):
        train(undisturbed.model_copy(update={"window": 5}), StopRequest())


def test_checkpoints_of_other_settings_are_not_resumed(world, checkpoint, tmp_path):
    spec = world.make_spec(tmp_path, checkpoint, save_steps=3)

    world.killed_at(spec, 7)
    assert checkpoints.newest(Path(spec.output), spec.mark)
    other = spec.model_copy(update={"window": 5})
    assert train(other, StopRequest())
    assert [row["step"] for row in losses_of(other)] == list(range(1, 9))
    assert checkpoints.newest(Path(spec.output), spec.mark) is None


def test_summary_and_log(undisturbed):
    summary = json.loads((Path(undisturbed.output) / "summary.json").read_text())
    assert summary["steps"] == 8 and summary["states"] == 64 and summary["rows"] == 6
    assert summary["window"] == 3 and summary["device"] == "cpu" and summary["autocast_bf16"] is False
    # 7 projections of 2 layers at rank 4: 4 x (32 + 32) x 4 + 3 x (32 + 64) x 4 weights a layer.
    assert summary["trainable_parameters"] == 2 * (4 * 64 * 4 + 3 * 96 * 4)
    rows = losses_of(undisturbed)
    assert [row["step"] for row in rows] == list(range(1, 9))
    for row in rows:
        assert row["loss"] == pytest.approx(row["near"] + row["distant"])
        assert row["near_count"] > 0 and row["lr"] == 1e-2 and row["grad_norm"] > 0
    assert len(list(Path(undisturbed.output).glob("checkpoint-*"))) == 2


def test_sft_learns_the_references(world, checkpoint, tmp_path):
    problems = [Problem(f"p/{i}", "toy", "math", "w5", "w7 w8 w9", "1") for i in range(4)]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in problems))
    tree = world.make_spec(tmp_path, checkpoint, max_steps=40, learning_rate=2e-2).model_dump()
    tree["distill"]["objective"] = "sft"
    spec = parse_spec({**tree, "problems": str(path), "trajectories": [], "verdicts": [], "window": None})
    assert train(spec, StopRequest())
    rows = losses_of(spec)
    assert all("near" not in row and row["masked_count"] == 8 * world.LENGTH for row in rows)
    assert sum(r["loss"] for r in rows[-5:]) < 0.5 * sum(r["loss"] for r in rows[:5])


def test_a_run_with_the_teacher_in_the_system_turn(world, checkpoint, tmp_path):
    problems = [Problem(f"toy/{i}", "toy", "math", "w5", "w7 w8 w9", "1") for i in range(6)]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in problems))
    rollout = world.make_spec(tmp_path / "rollout", checkpoint, max_steps=2)
    tree = world.make_spec(tmp_path / "system", checkpoint, max_steps=2).model_dump()
    tree["distill"]["teacher_prompt"] = "system"
    with pytest.raises(ConfigError, match=r"problems: missing; distill.teacher_prompt system"):
        parse_spec(tree)
    system = parse_spec({**tree, "problems": str(path)})
    assert train(rollout, StopRequest()) and train(system, StopRequest())
    # The student and the near tokens are the same; only what the teacher says of the distant ones differs.
    first, other = losses_of(rollout)[0], losses_of(system)[0]
    assert first["near"] == other["near"] and first["distant"] != other["distant"]


@pytest.mark.parametrize(("written", "meant"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_compile_may_be_written_as_yaml_reads_it(world, written, meant):
    assert world.make_config(compile=written).compile == meant

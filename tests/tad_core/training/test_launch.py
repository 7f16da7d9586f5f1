"""The parent's side: what an exit means, timeouts, and that nobody is left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from tad_core.config import LoraConfig
from tad_core.errors import (
    PERMANENT_ERRORS,
    BatchMemoryError,
    ConfigError,
    DataError,
    KilledError,
    OutOfMemoryError,
    SubprocessError,
)
from tad_core.training import folder
from tad_core.training import launch as module
from tad_core.training.command import guarded
from tad_core.training.exits import EXIT_INTERRUPTED, EXIT_OUT_OF_MEMORY
from tad_core.training.launch import explain, launch, watch
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tests.waiting import CEILING_S, until


def script(text):
    return guarded([sys.executable, "-u", "-c", text])


def test_lines_go_to_the_log_and_to_the_listener(tmp_path):
    lines = []
    text = "import sys; print('one'); print('two', file=sys.stderr); print('TRAINING_ERROR {}')"
    watch(script(text), tmp_path / "log", None, lines.append)
    assert lines == ["one", "two"]
    assert (tmp_path / "log").read_text() == "one\ntwo\nTRAINING_ERROR {}\n"


def test_a_line_is_in_the_log_as_soon_as_it_is_heard(tmp_path):
    # A launching process that is killed takes along what it has not written; and a log is followed while it grows.
    log, seen = tmp_path / "log", []
    watch(script("print('one'); print('two')"), log, None, lambda line: seen.append(log.read_text()))
    assert seen == ["one\n", "one\ntwo\n"]


@pytest.mark.parametrize(
    ("status", "reported", "kind", "message"),
    [
        (2, '{"kind": "ConfigError", "message": "distill.x: wrong"}', ConfigError, "distill.x: wrong"),
        (1, '{"kind": "DataError", "message": "none kept"}', DataError, "none kept"),
        (1, '{"kind": "BatchMemoryError", "message": "2 GiB"}', BatchMemoryError, "memory.*2 GiB"),
        (1, '{"kind": "OutOfMemoryError", "message": "no room"}', OutOfMemoryError, "^no room$"),
        (1, '{"kind": "Surprise", "message": "odd"}', SubprocessError, "odd"),
        (1, "not json", SubprocessError, "status 1"),
        (EXIT_OUT_OF_MEMORY, None, BatchMemoryError, "memory"),
        (-9, None, KilledError, "SIGKILL"),
        (137, None, KilledError, "SIGKILL"),
        (EXIT_INTERRUPTED, None, SubprocessError, "saved a checkpoint"),
        (-11, None, SubprocessError, "status -11"),
    ],
)
def test_what_an_exit_means(status, reported, kind, message):
    error = explain(status, ["the last line"], [reported] if reported else [], Path("log"))
    assert type(error) is kind
    assert re.search(message, str(error), re.DOTALL)


TORCHRUN = "Root Cause (first observed failure):\n  rank      : 1\n  exitcode  : {} (pid: 7)\n"


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (TORCHRUN.format(-9), KilledError),
        (TORCHRUN.format(-11), SubprocessError),
        # Killed for another's sake.
        (
            "Failures:\n  exitcode  : -9 (pid: 3)\n" + TORCHRUN.format(1),
            SubprocessError,
        ),
        ("Killing subprocess 3\n['python'] exits with return code = -9", KilledError),
    ],
)
def test_a_launcher_tells_of_a_killed_process(tail, kind):
    assert type(explain(1, tail.splitlines(), [], Path("log"))) is kind


def test_the_most_telling_report_wins():
    reports = [
        '{"kind": "SubprocessError", "message": "another process failed"}',
        '{"kind": "OutOfMemoryError", "message": "2 GiB"}',
    ]
    assert type(explain(1, [], reports, Path("log"))) is OutOfMemoryError
    assert "another process" in str(explain(1, [], reports[:1], Path("log")))


def test_an_unknown_failure_shows_the_last_lines(tmp_path):
    with pytest.raises(SubprocessError, match=r"(?s)status 7.*line 29") as caught:
        watch(script("import sys\nfor i in range(30): print('line', i)\nsys.exit(7)"), tmp_path / "log")
    assert "line 9\n" not in str(caught.value)  # only the last ones
    assert not isinstance(caught.value, OutOfMemoryError)


def test_a_report_behind_a_launcher_is_understood(tmp_path):
    text = 'print(\'[rank0] TRAINING_ERROR {"kind": "ConfigError", "message": "lower it"}\'); raise SystemExit(1)'
    with pytest.raises(ConfigError, match="lower it"):
        watch(script(text), tmp_path / "log")


def test_a_timeout_ends_a_child_that_obeys(tmp_path):
    # A child that is left alone ends by itself and is no error.
    with pytest.raises(SubprocessError, match=r"distill.timeout_s: .* 0.5 s"):
        watch(script("import time; time.sleep(600)"), tmp_path / "log", 0.5)


def test_a_timeout_kills_a_child_and_grandchild_that_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module.stop, "__defaults__", (0.5,))
    stubborn = "import signal, time, os; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    text = stubborn + "if os.fork() == 0: time.sleep(600)\nprint(os.getpid(), flush=True); time.sleep(600)"
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with pytest.raises(SubprocessError, match="timeout_s"):
        watch(script(text), tmp_path / "log", 1.0)
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_what_is_stopped_has_not_ended_well():
    child = subprocess.Popen(script("import time; time.sleep(600)"))
    module.stop(child)
    assert child.returncode == -signal.SIGTERM


def test_a_training_that_has_ended_well_is_not_late(tmp_path, monkeypatch):
    class LastMoment:
        """A timer whose time is up while it is taken back."""

        def __init__(self, seconds, act):
            self.cancel = act

        def start(self): ...

    monkeypatch.setattr(module.threading, "Timer", LastMoment)
    watch(script("print('done')"), tmp_path / "log", 600.0)
    with pytest.raises(SubprocessError, match="timeout_s"):
        watch(script("raise SystemExit(1)"), tmp_path / "log", 600.0)


def test_a_listener_that_raises_ends_the_child(tmp_path):
    def cancelled(line):
        raise KeyboardInterrupt

    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        watch(script("import time; print('up'); time.sleep(600)"), tmp_path / "log", None, cancelled)
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def gone(pid):
    def ended():
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(ended, f"process {pid} ends")
    return True


def orphaned(world, tmp_path, run):
    """Process id of a child whose parent was killed with SIGKILL."""
    note = tmp_path / "pid"
    parent = world.fork(lambda: run(note))
    until(lambda: note.exists() and note.read_text(), "the child says who it is")
    child = int(note.read_text())
    assert psutil.pid_exists(child)
    os.kill(parent, signal.SIGKILL)
    world.wait(parent)
    return child


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Linux facility")
def test_the_child_dies_with_a_killed_parent(world, tmp_path):
    def run(note):
        text = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
        watch(script(text), tmp_path / "log")
        return 0

    assert gone(orphaned(world, tmp_path, run))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Linux facility")
def test_the_child_asks_for_it_itself_where_setpriv_is_missing(world, tmp_path):
    def run(note):
        text = (
            "import time, os\nfrom tad_core.training.__main__ import _die_with_parent\nassert _die_with_parent()\n"
            f"open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
        )
        watch([sys.executable, "-c", text], tmp_path / "log")
        return 0

    assert gone(orphaned(world, tmp_path, run))


def test_two_runs_never_share_a_folder(world, checkpoint, tmp_path, monkeypatch):
    spec = world.make_spec(tmp_path, checkpoint)
    monkeypatch.setattr(folder, "LOCK_WAIT_S", 0.3)
    child = "import time; print('up'); time.sleep(600)"
    monkeypatch.setattr(module, "command_for", lambda *_: script(child))
    started = []

    def second(line):
        with pytest.raises(SubprocessError, match="another training process"):
            module.launch(spec)
        started.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.launch(spec, second)
    assert started == ["up"]
    monkeypatch.setattr(module, "command_for", lambda *_: script("print('again')"))
    assert module.launch(spec) == tmp_path / "out"  # free again


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Linux facility")
def test_a_child_that_is_still_saving_keeps_the_folder(world, checkpoint, tmp_path, monkeypatch):
    spec = world.make_spec(tmp_path, checkpoint)
    note, saved = tmp_path / "pid", tmp_path / "saved"
    saving = (
        "import os, signal, time\ndef save(*_):\n"
        f"    while not os.path.exists({str(saved)!r}): time.sleep(0.02)\n    os._exit(75)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        f"open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    monkeypatch.setattr(module, "command_for", lambda *_: script(saving))
    orphaned(world, tmp_path, lambda _: module.launch(spec) and 0)
    monkeypatch.setattr(module, "command_for", lambda *_: script("print('again')"))
    monkeypatch.setattr(folder, "LOCK_WAIT_S", 0.3)
    with pytest.raises(SubprocessError, match="another training process"):
        module.launch(spec)
    with pytest.raises(SubprocessError, match="another training process"):
        folder.start_anew(tmp_path / "out")  # it would put back what is removed
    assert (tmp_path / "out" / "spec.json").exists()
    monkeypatch.setattr(folder, "LOCK_WAIT_S", CEILING_S)
    saved.touch()
    assert module.launch(spec) == tmp_path / "out"
    (tmp_path / "out" / "checkpoint-2").mkdir()
    (tmp_path / "out" / "checkpoint-2" / "weights").touch()
    folder.start_anew(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


#: The training process with memory for two states a forward, from step 5 on.
_SMALL = """
import sys, torch
from tad_core.training.trainer import DistillTrainer
original = DistillTrainer.training_step
def training_step(self, model, inputs, *rest):
    if inputs["student"]["states"] > {most} and self.state.global_step >= 4:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    return original(self, model, inputs, *rest)
DistillTrainer.training_step = training_step
from tad_core.training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def with_memory_for(monkeypatch, most):
    """Every training process has it; gives the micro-batches with which one was started."""
    tried = []

    def command_for(spec, spec_file, seat=None):
        tried.append(json.loads(spec_file.read_text())["distill"]["micro_batch_size"])
        return [sys.executable, "-c", _SMALL.format(most=most), str(spec_file)]

    monkeypatch.setattr(module, "command_for", command_for)
    return tried


@pytest.mark.slow
def test_a_micro_batch_that_does_not_fit_is_halved_and_the_run_goes_on(
    world, checkpoint, tmp_path, monkeypatch
):
    options = {"save_steps": 3, "lora": LoraConfig(rank=4, alpha=4, dropout=0.0), "global_batch_size": 12}
    whole = world.make_spec(tmp_path / "whole", checkpoint, micro_batch_size=6, **options)
    assert train(whole, StopRequest())
    spec = world.make_spec(tmp_path / "small", checkpoint, micro_batch_size=6, **options)
    tried, lines = with_memory_for(monkeypatch, 2), []
    output = launch(spec, lines.append)
    assert tried == [6, 3, 1]
    told = [line for line in lines if line.startswith("warning")]
    assert len(told) == 2 and "Tried to allocate 2 GiB" in told[0]
    assert "going on with distill.micro_batch_size 3" in told[0]
    assert sum(line.startswith("resuming from step 3") for line in lines) == 2, (
        "from the checkpoint, not anew"
    )
    expected, found = (read_losses(folder / "losses.jsonl") for folder in (Path(whole.output), output))
    assert [row["step"] for row in found] == list(range(1, 9))
    for name in ("loss", "grad_norm"):
        torch.testing.assert_close(
            torch.tensor([row[name] for row in found]),
            torch.tensor([row[name] for row in expected]),
            rtol=1e-4,
            atol=1e-5,
        )
    assert json.loads((output / "summary.json").read_text())["mark"] == spec.mark


def test_one_state_that_does_not_fit_is_an_error(world, checkpoint, tmp_path, monkeypatch):
    spec = world.make_spec(tmp_path, checkpoint, micro_batch_size=1)
    tried = with_memory_for(monkeypatch, 0)
    with pytest.raises(
        OutOfMemoryError, match=r"Tried to allocate 2 GiB.*micro_batch_size 1 and responses of 12"
    ) as caught:
        launch(spec)
    assert (
        tried == [1]
        and isinstance(caught.value, PERMANENT_ERRORS)
        and "gradient_checkpointing" in str(caught.value)
    )


def test_half_of_a_micro_batch_divides_the_share_of_every_process(world, checkpoint, tmp_path):
    spec = world.make_spec(
        tmp_path, checkpoint, launcher="torchrun", processes=2, micro_batch_size=7, global_batch_size=42
    )
    assert module._with_smaller_batches(spec, "full").distill.micro_batch_size == 3
    hosts = world.make_spec(tmp_path, checkpoint, launcher="torchrun", nodes=2)
    with pytest.raises(OutOfMemoryError, match="start every host again"):
        module._with_smaller_batches(hosts, "full")


def test_who_waits_for_a_folder_that_is_removed_gets_the_new_one(tmp_path):
    """As another store's run does once it has taken out what it trained."""
    out = tmp_path / "out"
    entered = threading.Event()

    def waits():
        with folder.owned([out]):
            entered.set()
            assert (out / ".owner").exists()

    with ThreadPoolExecutor(1) as threads:
        with folder.owned([out]):
            second = threads.submit(waits)
            assert not entered.wait(0.5)
            shutil.rmtree(out)
        second.result(CEILING_S)

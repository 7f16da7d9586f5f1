"""Trainings and decoders that are forks of one process, as the launcher and the pool use them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec
from tad_core.errors import ConfigError, KilledError, SubprocessError
from tad_core.evaluation.generate import Generator
from tad_core.training.launch import watch
from tad_core.workers.jobs import DecodeJob
from tad_core.workers.nursery import Nursery
from tad_core.workers.pool import MODULE, Pool
from tad_core.workers.trainings import TrainingForks
from tests.waiting import until

SPEC = DecodeSpec(8, 4)
PROMPTS = [[5, 6, 7], [8, 9]]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """One for all tests here; it loads little, so that it is there soon."""
    made = Nursery(MODULE, dict(os.environ), ("tad_core.models",))
    yield made
    made.close()


@pytest.mark.slow
def test_what_a_forked_training_says_reaches_its_log_and_its_error_the_caller(
    nursery: Nursery, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text("{}")
    with pytest.raises(ConfigError, match="spec: model: "):
        watch(["any", str(spec)], tmp_path / "log", start=TrainingForks(nursery, {}))
    assert "TRAINING_ERROR" in (tmp_path / "log").read_text()


def test_a_forked_training_holds_the_locks(nursery: Nursery, tmp_path: Path) -> None:
    """It waits for its spec to be written, which is a pipe here."""
    spec, lock = tmp_path / "spec.json", os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.mkfifo(spec)
    forks = TrainingForks(nursery, {})
    process = forks(["any", str(spec)], dict(os.environ), [lock])
    held = psutil.Process(process.pid)
    until(lambda: str(tmp_path / "lock") in {file.path for file in held.open_files()}, "the lock")
    assert process.poll() is None and held.ppid() != os.getpid()
    process.kill()  # it waits for somebody to write its spec, and no request to end reaches it there
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    os.close(lock)


def test_a_killed_training_is_told_as_such(nursery: Nursery, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    os.mkfifo(spec)
    forks, started = TrainingForks(nursery, {}), threading.Event()

    def start(command: list[str], env: dict[str, str], keep_open: object) -> object:
        process = forks(command, env, [])
        threading.Thread(target=lambda: (started.wait(), process.kill())).start()
        started.set()
        return process

    with pytest.raises(KilledError, match="SIGKILL"):
        watch(["any", str(spec)], tmp_path / "log", start=start)  # type: ignore[arg-type]


def test_forks_that_load_their_own_model_decode_as_one_process_does(
    nursery: Nursery, tiny_checkpoint: Path
) -> None:
    model = ModelConfig(path=str(tiny_checkpoint), device="cpu", threads=1)
    with Pool(model, nursery=nursery) as pool:
        found = pool.run(DecodeJob(PROMPTS, SPEC, 2, 1, 1))
        (pid,) = pool.pids()
        assert psutil.Process(pid).ppid() != os.getpid()
    assert found == Generator.load(model).decode(PROMPTS, SPEC)
    assert nursery.alive, "a pool does not close what it was given"


def test_a_nursery_that_is_gone_forks_nothing(tmp_path: Path) -> None:
    gone = Nursery(MODULE, dict(os.environ), ("json",))
    gone.close()
    with pytest.raises(SubprocessError, match="ended with code -9"):
        TrainingForks(gone, {})(["any", str(tmp_path)], {}, [])

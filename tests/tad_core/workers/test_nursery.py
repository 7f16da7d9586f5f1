"""Forked workers and real ones: the same answers as in one process, and every way one can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tad_core.config import LoraConfig, ModelConfig
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.errors import DataError, KilledError, ModelError, OutOfMemoryError, SubprocessError
from tad_core.evaluation.generate import Generator, Processes
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, save_adapter
from tad_core.progress import Progress
from tad_core.workers import pool as pooling
from tad_core.workers import process
from tad_core.workers.jobs import DecodeJob, Decoders
from tad_core.workers.pool import Pool
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.waiting import CEILING_S, until

SPEC = DecodeSpec(8, 4, "entropy", 2.0, 0.5)
PROMPTS = [[5 + (i * k) % 90 for k in range(1, 4 + i % 9)] for i in range(20)]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> ModelConfig:
    return ModelConfig(path=str(tiny_checkpoint), device="cpu", threads=1)


@pytest.fixture(scope="module")
def pool(model: ModelConfig) -> Iterator[Pool]:
    """One for all whose workers die: it goes on afterwards."""
    with Pool(model) as made:
        yield made


def job(prompts: list[list[int]] = PROMPTS[:2], slots: int = 2) -> DecodeJob:
    return DecodeJob(prompts, SPEC, 4, slots, 1)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_forks_decode_as_one_process_does(model: ModelConfig, tmp_path: Path) -> None:
    tuned = add_lora(load_model(model), LoraConfig(rank=2, alpha=2, dropout=0.0), 1)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    save_adapter(tuned, tmp_path)
    alone, base = Generator.load(model, tmp_path), Generator.load(model)
    with Generator.load(model, tmp_path, workers=2) as shared:
        assert isinstance(shared.held, Processes) and not isinstance(alone.held, Processes)
        for spec in (DecodeSpec(8, 4), SPEC):
            told: list[Progress] = []
            found = shared.decode(PROMPTS, spec, told.append)
            assert found == alone.decode(PROMPTS, spec)
            assert [p.done for p in told] == sorted(p.done for p in told)
            assert (told[-1].done, told[-1].total) == (20, 20)
            assert all(one.wall_s > 0 and one.computed > 0 for one in found)
        assert found != base.decode(PROMPTS, SPEC), "the adapter changes nothing here"
        pids = shared.held.pool.pids()
        assert len(pids) == 2 and len({psutil.Process(pid).ppid() for pid in pids}) == 1, "they are forks"
        with pytest.raises(DataError, match="more than the model's 512 positions"):
            shared.decode([*PROMPTS, [5] * 600], SPEC)
    assert not any(map(alive, pids))


def test_where_a_part_fails_no_other_begins(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def fails(*_: Any) -> None:
        asked.append(1)
        raise SubprocessError("it ended")

    with Generator.load(model, workers=2) as shared:
        assert isinstance(shared.held, Processes)
        monkeypatch.setattr(shared.held.pool, "run", fails)
        with pytest.raises(SubprocessError, match="it ended"):
            shared.decode(PROMPTS, SPEC)
    assert len(asked) <= 2, "what two processes had in hand"


def test_what_is_decoded_is_told_part_by_part(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what others finish after one has failed."""
    calls, other, told = count(), threading.Event(), dict[int, Decoded]()

    def fails(job: DecodeJob, _: Any) -> list[Decoded]:
        if next(calls) == 0:
            other.wait(CEILING_S)
            raise SubprocessError("it ended")
        other.set()
        return [Decoded(list(prompt), 1, [1], False) for prompt in job.prompts]

    with Generator.load(model, workers=2) as shared:
        assert isinstance(shared.held, Processes)
        monkeypatch.setattr(shared.held.pool, "run", fails)
        with pytest.raises(SubprocessError, match="it ended"):
            shared.decode(PROMPTS, SPEC, on_decoded=told.update)
    assert told and all(one.tokens == PROMPTS[place] for place, one in told.items())


def test_how_many_decode_and_with_how_many_threads(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = len(os.sched_getaffinity(0))
    plain = model.model_copy(update={"threads": None})
    assert Decoders.of(plain, 0) == Decoders(cores, 1 if cores > 1 else cores)
    assert Decoders.of(plain, 1) == Decoders(1, cores)
    assert Decoders.of(model.model_copy(update={"threads": 3}), 0) == Decoders(3, 1)
    assert Decoders.of(model, 4) == Decoders(4, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    several = plain.model_copy(update={"device": "auto"})
    assert Decoders.of(several, 0) == Decoders(3, max(1, cores // 3))
    assert Decoders.of(several.model_copy(update={"device": "cuda:1"}), 0).slots == 1


@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (signal.SIGKILL, KilledError, "lower evaluate.workers"),
        (signal.SIGINT, KeyboardInterrupt, "^$"),
        (signal.SIGTERM, SubprocessError, "ended with code -15"),
    ],
)
def test_a_worker_that_dies_is_told_by_how_and_replaced(
    pool: Pool, slots: int, number: int, kind: type[BaseException], message: str
) -> None:
    before = pool.run(job(slots=slots))
    (pid,) = pool.pids()

    def end(_: Any) -> None:
        os.kill(pid, number)
        until(lambda: not alive(pid), "it ends")

    with pytest.raises(kind, match=message):
        pool.run(job(PROMPTS, slots), end)
        pool.run(job(PROMPTS, slots), end)  # where it had answered already when it was ended
    assert pool.run(job(slots=slots)) == before
    assert pid not in pool.pids()


@pytest.mark.slow
def test_a_nursery_that_is_killed_is_replaced(pool: Pool) -> None:
    before = pool.run(job())
    (pid,) = pool.pids()
    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    until(lambda: not alive(pid), "the worker ends after its nursery")
    assert pool.run(job()) == before
    assert pid not in pool.pids()


def test_a_reply_that_nobody_waited_for_is_not_taken_for_the_next_ones(model: ModelConfig) -> None:
    """Ctrl-C may come between request and reply: the next worker is no fork whose pipes another has closed."""
    with Pool(model) as pool:
        before = pool.run(job())
        (pid,) = pool.pids()
        code: Future[int] = Future()
        code.set_result(-signal.SIGKILL)
        pool._nurseries[0]._replies.put({"pid": pid, "code": code, "number": -1})
        nursery = psutil.Process(pid).ppid()
        os.kill(nursery, signal.SIGSTOP)  # or it might tell of the end first, and another do the job at once
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), "it ends")
        threading.Timer(1, os.kill, (nursery, signal.SIGCONT)).start()
        with pytest.raises(KilledError):
            pool.run(job())
        assert pool.run(job()) == before
        (other,) = pool.pids()
        assert other != pid and alive(other)


def test_a_model_that_cannot_be_loaded_is_one_clear_error(model: ModelConfig, tmp_path: Path) -> None:
    with Pool(model.model_copy(update={"path": str(tmp_path / "none")})) as pool:
        for slots in (1, 2):
            with pytest.raises(ModelError, match="none"):
                pool.run(job(slots=slots))


def test_memory_of_the_gpu_that_runs_out_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    class Model(FormulaModel):
        packed = full

    setup = {"model": {"path": "p", "device": "cpu"}, "adapter": "a", "slot": 0}
    monkeypatch.setattr("tad_core.evaluation.generate.load_for_inference", full)
    said = r"\(CUDA out of memory\. Tried to allocate 2 GiB\.\)"
    with pytest.raises(OutOfMemoryError, match=f"loading the model ran out of memory {said}"):
        process.Held(setup).model_and_tokenizer()

    held = process.Held(setup)
    held._loaded = Model(), None
    warnings: list[str] = []

    class Reporter:
        def progress(self, _: Any) -> None: ...
        def warn(self, text: str) -> None:
            warnings.append(text)

    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    asked = job([[2], [3]]).message()
    with pytest.raises(OutOfMemoryError, match=r"evaluate\.batch_size: the memory .* even one at once"):
        process._decode(asked, held, Reporter())  # type: ignore[arg-type]
    assert len(warnings) == 1 and "does not hold 2 at once; going on with 1" in warnings[0]


@pytest.mark.slow
def test_several_gpus_that_torch_cannot_use_decode_as_one_cpu_does(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(
        pooling, "environment", lambda device, slot: {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    alone = Generator.load(model).decode(PROMPTS, SPEC)
    with Generator.load(model.model_copy(update={"device": "auto"}), workers=0) as shared:
        assert isinstance(shared.held, Processes) and shared.held.decoders.slots == 2
        assert shared.decode(PROMPTS, SPEC) == alone


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_real_gpus_give_what_one_gives(model: ModelConfig, dtype: Any) -> None:
    device = model.model_copy(update={"device": "auto", "dtype": dtype, "threads": None})
    with (
        Generator.load(device, batch_size=4, workers=0) as shared,
        Generator.load(device, batch_size=4, workers=1) as alone,
    ):
        for spec in (DecodeSpec(16, 8), DecodeSpec(16, 8, "entropy", 2.0, 0.5)):
            assert shared.decode(PROMPTS, spec) == alone.decode(PROMPTS, spec)


#: Holds the pipe of a worker open, tells its process id, and waits.
PARENT = """
import os, subprocess, sys, time
command = [sys.executable, "-m", "tad_core.workers.process", str(os.getpid())]
child = subprocess.Popen(command, stdin=0, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("pipe_stays_open", [False, True])
def test_no_worker_outlives_its_parent(pipe_stays_open: bool) -> None:
    """Whether the parent's end closes with it, or another child of the parent keeps it open."""
    theirs, ours = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=theirs, stdout=subprocess.PIPE, text=True)
    os.close(theirs)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    if not pipe_stays_open:
        os.close(ours)
    until(lambda: not alive(child), "the worker ends after its parent")
    if pipe_stays_open:
        os.close(ours)


def test_a_fork_of_the_owner_that_ends_leaves_the_workers_alone(pool: Pool) -> None:
    pool.run(job())
    (pid,) = pool.pids()
    code = os.fork()
    if code == 0:
        pooling._kill(pool._children, pool._nurseries, os.getppid())
        os._exit(0)
    os.waitpid(code, 0)
    assert alive(pid) and pool.run(job())


#: Has a forked worker do something, and waits.
FORKING = """
import sys, time
from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec
from tad_core.workers.jobs import DecodeJob
from tad_core.workers.pool import Pool
pool = Pool(ModelConfig(path=sys.argv[1], device="cpu", threads=1))
pool.run(DecodeJob([[5]], DecodeSpec(8, 4), 4, 2, 1))
print("done", flush=True)
time.sleep(600)
"""


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_killed_parent_takes_nursery_and_workers_with_it_without_a_word(tiny_checkpoint: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(tiny_checkpoint)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout is not None and parent.stdout.readline() == b"done\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) == 2, "the nursery and its worker"
    for member in family:
        member.suspend()  # so that the worker ends first, as it may
    parent.kill()
    for member in reversed(family):
        member.resume()
        until(partial(gone, member), "its end")
    _, said = parent.communicate()
    assert said == b""

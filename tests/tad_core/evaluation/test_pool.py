"""A process for each GPU: what each sees, who gets which batch, and every way one can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch

from tad_core.config import LoraConfig, ModelConfig
from tad_core.decoding import DecodeSpec, plan_batches
from tad_core.errors import DataError, KilledError, ModelError, SubprocessError
from tad_core.evaluation import generate, pool, worker
from tad_core.evaluation.generate import Generator
from tad_core.evaluation.pool import GpuPool
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, save_adapter
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.waiting import until

SPEC = DecodeSpec(8, 4, "entropy", 2.0, 0.5)
#: Ten prompts of lengths 1 to 4, longest first once they are planned.
PROMPTS = [[10 + i] * (1 + i % 4) for i in range(10)]

#: Stands for a process with a GPU. An answer tells which prompts it was decoded with; 66, 67 and 68 are accidents, and
#: GPU "slow" answers its first batch only when as many as the test says were begun.
WORKER = """
import json, os, signal, sys, time
from multiprocessing.connection import Connection
signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the real one: what runs in the background has it ignored
pipe = Connection(int(sys.argv[1]))
slot, setup = pipe.recv()
gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
print("loading on", gpu, flush=True)
if setup["model"]["path"] == "damaged":
    pipe.send(("error", ("ModelError", "model.path: damaged")))
    sys.exit()
pipe.send(("answer", (slot, "cuda")))
while True:
    try:
        index, job = pipe.recv()
    except EOFError:
        break
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(json.dumps([index, gpu, os.getpid(), job["prompts"], job["spec"]["threshold"], setup]) + "\\n")
    first = job["prompts"][0][0]
    if first == 66:
        os._exit(7)
    if first in (67, 68):
        os.kill(os.getpid(), signal.SIGKILL if first == 67 else signal.SIGINT)
    while gpu == "slow" and open(os.environ["SEEN"]).read().count("\\n") < int(os.environ["BEGUN"]):
        time.sleep(0.01)
    pipe.send(("finished", len(job["prompts"])))
    together = sum(job["prompts"], [])
    row = dict(forwards=1, revealed_at=together, stopped_early=False)
    rows = [dict(row, tokens=prompt) for prompt in job["prompts"]]
    pipe.send(("answer", (index, rows)))
"""


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., GpuPool]:
    """A pool of processes that run ``WORKER``, on the GPUs named."""
    (tmp_path / "one_worker.py").write_text(WORKER)
    (tmp_path / "seen").touch()
    monkeypatch.setattr(pool, "MODULE", "one_worker")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))

    def make(gpus: str, path: str = "p", **environment: str) -> GpuPool:
        for name, value in {"CUDA_VISIBLE_DEVICES": gpus, **environment}.items():
            monkeypatch.setenv(name, value)
        return GpuPool(ModelConfig(path=path, device="auto"), tmp_path / "adapter", gpus.count(",") + 1)

    return make


def seen(tmp_path: Path) -> list[Any]:
    """Of each batch: its index, GPU, process, prompts, threshold, and what its process was started with."""
    lines = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    (tmp_path / "seen").write_text("")
    return lines


def pids(made: GpuPool) -> list[int]:
    return [child.process.pid for child in made._children.values()]


def exists(pid: int) -> bool:
    """Whether it runs; of an orphan that ended an entry may stay for a while."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_batches_and_answers_are_those_of_one_gpu_whatever_their_number(
    pretend: Callable[..., GpuPool], tmp_path: Path
) -> None:
    """A GPU mixes lengths in a batch, and an answer names its whole batch: any other plan shows."""
    planned = plan_batches([len(p) for p in PROMPTS], 3)
    assert len(planned) == 4 and any(len({len(PROMPTS[i]) for i in batch}) > 1 for batch in planned)
    together = {i: [t for j in batch for t in PROMPTS[j]] for batch in planned for i in batch}
    for gpus in ("0", "0,1", "GPU-a,1,2"):
        told = []
        made = pretend(gpus)
        decoded = made.decode(PROMPTS, SPEC, 3, told.append)
        made.close()
        assert [d.tokens for d in decoded] == PROMPTS
        assert [d.revealed_at for d in decoded] == [together[i] for i in range(10)]
        assert [p.done for p in told] == sorted(p.done for p in told)
        assert (told[-1].done, told[-1].total) == (10, 10)
        lines = seen(tmp_path)
        assert {(index, str(prompts)) for index, _, _, prompts, *_ in lines} == {
            (index, str([PROMPTS[i] for i in batch])) for index, batch in enumerate(planned)
        }


def test_each_process_sees_its_own_gpu_and_stays_for_the_whole_sweep(
    pretend: Callable[..., GpuPool], tmp_path: Path
) -> None:
    made = pretend("2,GPU-abc, 5")
    started = pids(made)
    for threshold in (0.1, 0.5):  # three batches: one for each
        made.decode([[1], [2], [3]], DecodeSpec(8, 4, "entropy", threshold), 1)
    lines = seen(tmp_path)
    assert {threshold for *_, threshold, _ in lines} == {0.1, 0.5}
    assert {(gpu, pid) for _, gpu, pid, *_ in lines} == set(zip(["2", "GPU-abc", "5"], started, strict=True))
    assert pids(made) == started and all(map(exists, started))
    for *_, setup in lines:
        assert setup["model"]["device"] == "cuda" and setup["adapter"] == str(tmp_path / "adapter")
        assert setup["threads"] == max(1, len(os.sched_getaffinity(0)) // 3)
    made.close()
    assert not any(map(exists, started))


def test_a_faster_gpu_takes_more_batches(pretend: Callable[..., GpuPool], tmp_path: Path) -> None:
    made = pretend("slow,fast", BEGUN="10")
    made.decode(PROMPTS, SPEC, 1)
    lines = seen(tmp_path)
    assert [gpu for _, gpu, *_ in lines].count("slow") == 1 and len(lines) == 10
    made.close()


@pytest.mark.parametrize(
    ("accident", "kind", "message"),
    [
        (66, SubprocessError, r"GPU [01] ended with code 7; its last lines:\nloading on [01]$"),
        (67, KilledError, r"GPU [01] was killed, .*lower evaluate\.workers"),
        (68, KeyboardInterrupt, "^$"),
    ],
    ids=["exit", "killed", "interrupted"],
)
def test_one_that_dies_ends_all_with_one_error(
    pretend: Callable[..., GpuPool], accident: int, kind: type[BaseException], message: str
) -> None:
    made = pretend("0,1")
    started = pids(made)
    assert len(made.decode(PROMPTS, SPEC, 3)) == 10
    with pytest.raises(kind, match=message):
        made.decode([*PROMPTS, [accident]], SPEC, 1)
    assert not any(map(exists, started))


def test_one_that_died_while_idle_is_noticed(pretend: Callable[..., GpuPool]) -> None:
    made = pretend("0,1")
    started = pids(made)
    os.kill(started[0], signal.SIGKILL)
    os.waitid(os.P_PID, started[0], os.WEXITED | os.WNOWAIT)
    with pytest.raises(KilledError, match="GPU 0 was killed"):
        made.decode(PROMPTS, SPEC, 3)
    assert not any(map(exists, started))


def test_a_model_that_cannot_be_loaded_and_a_listener_that_fails(pretend: Callable[..., GpuPool]) -> None:
    children: list[int] = []
    real = subprocess.Popen.__init__

    def note(self: Any, *args: Any, **options: Any) -> None:
        real(self, *args, **options)
        children.append(self.pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", note)
        with pytest.raises(ModelError, match=r"model\.path: damaged"):
            pretend("0,1", path="damaged")
    assert len(children) == 2 and not any(map(exists, children))

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    made = pretend("0,1")
    started = pids(made)
    with pytest.raises(KeyboardInterrupt):
        made.decode(PROMPTS, SPEC, 3, interrupt)
    assert not any(map(exists, started))


# --- the real process ---------------------------------------------------------------------------------


@pytest.fixture
def gpus_are_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs to start processes for, whose model then lies on the CPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(pool, "DEVICE", "cpu")
    monkeypatch.setattr(generate, "resolve_device", lambda device: torch.device("cuda"))


@pytest.mark.usefixtures("gpus_are_cpus")
def test_a_generator_over_two_processes_decodes_as_one_does(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = ModelConfig(path=str(tiny_checkpoint), device="auto", threads=1)
    tuned = add_lora(load_model(model, "cpu"), LoraConfig(rank=2, alpha=2, dropout=0.0), 1)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    save_adapter(tuned, tmp_path)
    alone = Generator.load(model.model_copy(update={"device": "cpu"}), tmp_path, batch_size=2)
    base = Generator.load(model.model_copy(update={"device": "cpu"}), batch_size=2)
    prompts = [alone.encode_text(t) for t in ("Anna has 3 apples", "b", "How many cards ?", "c", "d")]

    with Generator.load(model, tmp_path, batch_size=2, workers=0) as shared:
        assert isinstance(shared.model, GpuPool)
        started = pids(shared.model)
        assert len(started) == shared.workers == 2
        for spec in (DecodeSpec(8, 4), SPEC):
            found = shared.decode(prompts, spec)
            assert found == alone.decode(prompts, spec)
            assert all(one.wall_s > 0 for one in found)
        assert found != base.decode(prompts, SPEC), "the adapter changes nothing here"
        assert pids(shared.model) == started
        with pytest.raises(DataError, match="more than the model's 512 positions"):
            shared.decode([*prompts, [5] * 600], SPEC)
    assert not any(map(exists, started))


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_real_gpus_give_bit_for_bit_what_one_gives(tiny_checkpoint: Path, dtype: Any) -> None:
    model = ModelConfig(path=str(tiny_checkpoint), device="auto", dtype=dtype)
    with (
        Generator.load(model, batch_size=4, workers=0) as shared,
        Generator.load(model, batch_size=4, workers=1) as alone,
    ):
        assert shared.workers == torch.cuda.device_count() and not isinstance(alone.model, GpuPool)
        prompts = [[5 + (i * k) % 90 for k in range(1, 4 + i % 9)] for i in range(40)]
        for spec in (DecodeSpec(16, 8), DecodeSpec(16, 8, "entropy", 2.0, 0.5)):
            assert shared.decode(prompts, spec) == alone.decode(prompts, spec)


def test_a_fork_that_ends_leaves_the_processes_alone(pretend: Callable[..., GpuPool]) -> None:
    made = pretend("0,1")
    fork = os.fork()
    if fork == 0:
        made.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert len(made.decode(PROMPTS, SPEC, 3)) == 10
    made.close()


def test_one_process_holds_the_model_itself(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GpuPool, "__init__", lambda *_: pytest.fail("a process was started"))
    model = ModelConfig(path=str(tiny_checkpoint), device="auto", threads=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    Generator.load(model, workers=1).close()
    Generator.load(model).close()  # GPUs that torch cannot use


@pytest.mark.parametrize("during", ["loading the model", "decoding"])
def test_memory_of_the_gpu_that_runs_out_is_told_as_such(
    during: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = {"threads": 1, "adapter": None, "model": {"path": "p"}}
    job = {"spec": {"response_length": 8, "block_length": 4}, "prompts": [[2], [3]]}

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    class Model(FormulaModel):
        packed = full

    ours, theirs = Pipe()
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    monkeypatch.setattr(worker, "Connection", lambda fd: theirs)
    monkeypatch.setattr(sys, "argv", ["worker", "0", "1"])
    monkeypatch.setattr(worker, "_listen", lambda _, inbox, __: (inbox.put((3, setup)), inbox.put((5, job))))
    monkeypatch.setattr(
        generate, "load_for_inference", full if during.startswith("loading") else lambda *_: Model()
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        worker.main()
    finally:
        signal.signal(signal.SIGINT, before)
    said = [ours.recv() for _ in range(1 + 2 * during.startswith("decoding")) if ours.poll()]
    if during.startswith("decoding"):
        assert said[0] == ("answer", (3, "cpu"))
        assert said[1][0] == "warning" and "does not hold 2 at once; going on with 1" in said[1][1]
        expected = "evaluate.batch_size: the memory of the device does not hold even one at once"
    else:
        expected = "evaluate: loading the model ran out of GPU memory"
    kind, (name, message) = said[-1]
    assert (kind, name) == ("error", "OutOfMemoryError")
    assert expected in message and "(CUDA out of memory. Tried to allocate 2 GiB.)" in message


@pytest.mark.parametrize("socket_stays_open", [False, True])
def test_no_process_outlives_its_parent(socket_stays_open: bool) -> None:
    """Whether the parent's end closes with it, or another child of the parent keeps it open."""
    ours, theirs = Pipe()
    fd = theirs.fileno()
    code = (
        "import os, subprocess, sys, time\n"
        f"command = [sys.executable, '-m', 'tad_core.evaluation.worker', '{fd}', str(os.getpid())]\n"
        f"child = subprocess.Popen(command, pass_fds=[{fd}], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd], stdout=subprocess.PIPE, text=True)
    theirs.close()
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    if not socket_stays_open:
        ours.close()
    until(lambda: not exists(child), "the worker ends after its parent")
    ours.close()

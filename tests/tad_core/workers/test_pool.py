"""The pool around workers that are a few lines of Python: which GPU each sees, deaths, time-outs."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import ModelConfig, TADConfig, parse_config
from tad_core.decoding import DecodeSpec
from tad_core.errors import LAST_ERRORS, ConfigError, SubprocessError, TADError, WorkersLostError
from tad_core.workers import devices, fanning
from tad_core.workers import pool as pooling
from tad_core.workers.fanning import fan_out
from tad_core.workers.jobs import DecodeJob, ShardJob
from tad_core.workers.pool import DEATHS_IN_A_ROW, Pool
from tests.drills.common import tree_of
from tests.waiting import until

#: Answers a shard's number as told by the test: dies, sleeps, or gives an artifact that is there.
WORKER = """
import json, os, sys, time
setup = json.loads(sys.stdin.readline())
print("loading", setup["slot"], file=sys.stderr, flush=True)
for line in sys.stdin:
    _, index, _ = json.loads(line)["piece"]
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(f'{index} {setup["slot"]} {os.environ.get("CUDA_VISIBLE_DEVICES", "all")} {os.getpid()}\\n')
    if index == 66:
        os._exit(7)
    if index == 77:
        time.sleep(600)
    print(json.dumps({"answer": json.loads(os.environ["REF"])}), flush=True)
"""


class Asked(Pool):
    """A pool that is asked for shards by number."""

    def __init__(self, config: TADConfig, store: Store, **options: Any) -> None:
        super().__init__(config.model, **options)
        self._config, self._store = config, store

    def shard(self, index: int) -> ArtifactRef:
        return self.run(ShardJob(self._config, self._store, ("privileged", index, index + 1)))

    def shards(self, indices: Iterable[int | None]) -> list[int]:
        slots = devices.workers_of(self._config)
        return [index for index, _ in fan_out(indices, self.shard, slots, self.close)]


@pytest.fixture
def pool_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "one_worker.py").write_text(WORKER)
    store = Store(tmp_path / "store")
    with store.writer("collect", 1, "f" * 32, {}) as writer:
        ref = writer.commit()
    monkeypatch.setattr(pooling, "MODULE", "one_worker")
    # Slots of their own processes, as GPUs have.
    monkeypatch.setattr(Pool, "_on_a_cpu", lambda _: False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("REF", ref.model_dump_json())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(**rollout: Any) -> Asked:
        return Asked(config(**rollout), store)

    return make


def config(device: str = "cpu", **rollout: Any) -> TADConfig:
    tree = tree_of("x", 1, **rollout)
    tree["model"] |= {"device": device, "threads": None}
    return parse_config(tree)


def seen(tmp_path: Path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / "seen").read_text().splitlines()]


def test_one_worker_a_gpu_each_sees_its_own(
    pool_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-abc, 5")
    with pool_of(device="auto") as pool:
        assert pool.shards([0, 1, 2]) and len(pool.shards(range(3, 9))) == 6
    lines = seen(tmp_path)
    assert {(slot, gpu) for _, slot, gpu, _ in lines} == {("0", "2"), ("1", "GPU-abc"), ("2", "5")}
    assert len({pid for *_, pid in lines}) == 3, "a worker stays for many shards"


def test_how_many_workers_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_gpu_ids", lambda: ("GPU-1", "GPU-2"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.workers_of(config(device="auto")) == 2
    assert devices.environment("cuda", 3)["CUDA_VISIBLE_DEVICES"] == "GPU-2"
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(devices.sys, "platform", "linux")
    assert devices.workers_of(config(device="cpu")) == 3
    assert devices.cpu_workers(ModelConfig(path="x", threads=2)) == 1, (
        "one process of as many threads as are set"
    )
    assert devices.workers_of(config(device="cuda:1")) == 1
    assert "CUDA_VISIBLE_DEVICES" not in devices.environment("cpu", 0)
    assert devices.workers_of(config(device="auto", workers=2)) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.workers_of(config(device="auto")) == 3 and devices.visible_gpus() == []


def test_a_driver_that_does_not_answer_is_no_machine_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine that was busy for a moment would compute on its CPU, and no one would know."""

    def slow(command: list[str], timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices.subprocess, "run", slow)
    devices._gpu_ids.cache_clear()
    try:
        with pytest.raises(SubprocessError, match=r"model\.device: .* did not answer within 120 s; set"):
            devices.visible_gpus()
    finally:
        devices._gpu_ids.cache_clear()


@pytest.mark.parametrize(
    ("device", "visible", "wanted", "used"),
    [
        ("auto", "0,1,2", 0, 3),
        ("cuda", "0,1,2", 2, 2),
        ("auto", "0,1,2", 3, 3),
        ("cuda:1", "0,1,2", 0, 1),
        ("cuda:1", "0,1,2", 1, 1),
        ("cpu", "0,1,2", 16, 0),
        ("auto", "", 16, 0),
    ],
)
def test_how_many_gpus_evaluation_takes(
    device: str, visible: str, wanted: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.gpus_for_evaluation(device, wanted) == used


@pytest.mark.parametrize(
    ("device", "visible", "message"),
    [
        ("auto", "0,1,2", r"evaluate\.workers 4 needs as many GPUs and there are 3; set it to 3, or to 0"),
        ("cuda", "5", "and there is 1; set it to 1"),
        ("cuda:1", "0,1,2,3", r"and model\.device cuda:1 is 1; set it to 1"),
    ],
)
def test_more_processes_than_gpus_are_refused(
    device: str, visible: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=message):
        devices.gpus_for_evaluation(device, 4)


@pytest.mark.parametrize(
    ("device", "visible", "message"),
    [
        (
            "auto",
            "0,1,2",
            r"rollout\.workers 4 needs as many GPUs and there are 3; set it to 3, or leave it out",
        ),
        ("cuda", "5", "and there is 1; set it to 1"),
        ("cuda:1", "0,1,2,3,4", r"and model\.device cuda:1 is 1; set it to 1"),
    ],
)
def test_more_rollout_workers_than_gpus_are_refused(
    device: str, visible: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=message):
        devices.workers_of(config(device=device, workers=4))
    with pytest.raises(ConfigError, match=message):
        Asked(config(device=device, workers=4), Store(str(tmp_path))).shard(0)


def test_without_a_gpu_any_number_of_workers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert devices.workers_of(config(device="cpu", workers=4)) == 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.workers_of(config(device="auto", workers=4)) == 4


def test_a_slot_whose_workers_keep_dying_is_given_up_and_others_go_on(pool_of: Any, tmp_path: Path) -> None:
    with pool_of(workers=2) as pool:
        for _ in range(2 * DEATHS_IN_A_ROW - 1):
            with pytest.raises(SubprocessError, match="ended with code 7"):
                pool.shard(66)
        assert pool.shard(1).fingerprint == "f" * 32  # the slot that is left
        for _ in range(DEATHS_IN_A_ROW):
            with pytest.raises(SubprocessError, match="ended with code 7"):
                pool.shard(66)
        for _ in range(2):
            with pytest.raises(WorkersLostError, match=r"every slot died 5 times in a row, .* code 7"):
                pool.shard(1)
    assert {slot for _, slot, *_ in seen(tmp_path)} == {"0", "1"}


def test_a_shard_that_takes_too_long_costs_its_worker(pool_of: Any, tmp_path: Path) -> None:
    with pool_of(workers=1) as pool:
        pool.shard(0)
        pool._config = config(workers=1, shard_timeout_s=0.5)
        with pytest.raises(
            SubprocessError,
            match=r"rollout\.shard_timeout_s: shard \S+-00077-\S+ was not decoded within 0\.5 s",
        ):
            pool.shard(77)
        pool._config = config(workers=1)  # a busy machine may take longer than that to start a worker
        pool.shard(1)
    assert not Path(f"/proc/{seen(tmp_path)[1][-1]}").exists()


def test_what_a_worker_says_reaches_the_listener(pool_of: Any, tmp_path: Path) -> None:
    lines: list[str] = []
    with Asked(config(), Store(tmp_path / "store"), on_line=lines.append) as pool:
        pool.shard(0)
    assert lines == ["loading 0"]


def test_indices_are_asked_for_only_when_a_worker_is_free(
    pool_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanning, "_LOOK_S", 0.05)
    asked: list[int | None] = []
    ended: list[int] = []

    def source() -> Any:
        for index in (0, 1, None, 2):
            assert index is None or len(asked) - len(ended) <= 2
            asked.append(index)
            yield index

    with pool_of(workers=1) as pool:
        for index, _ in fan_out(source(), pool.shard, 1):
            ended.append(index)
    assert ended == [0, 1, 2]
    assert asked == [0, 1, None, 2]


@pytest.mark.parametrize("kind", LAST_ERRORS)
def test_where_no_worker_is_left_or_no_room_no_more_is_asked_for(kind: type[TADError]) -> None:
    asked: list[int] = []

    def source() -> Any:
        for index in range(9):
            asked.append(index)
            yield index

    def lost(_: int) -> None:
        raise kind("none is left")

    with pytest.raises(kind, match="none is left"):
        list(fan_out(source(), lost, 1))
    assert asked == [0]


def test_where_the_next_piece_cannot_be_found_what_is_in_hand_is_finished() -> None:
    begun, made, stopped = threading.Event(), [], []

    def source() -> Any:
        yield 0
        begun.wait()
        raise OSError("the store is away")

    def make(index: int) -> None:
        begun.set()
        time.sleep(0.05)
        made.append(index)

    with pytest.raises(OSError, match="is away"):
        list(fan_out(source(), make, 2, lambda: stopped.append(1)))
    assert made == [0] and not stopped


class Pretended:
    """A worker that does its jobs in this thread; none ends before all others wait for it."""

    def __init__(self, adapter: str, begun: list[str], all_wait: Callable[[], bool]) -> None:
        self.adapter, self._begun, self.usable, self._all_wait = adapter, begun, True, all_wait

    def run(self, job: DecodeJob, _: Any) -> None:
        if not self._begun:
            until(self._all_wait, "the others wait")
        self._begun.append(job.adapter)

    def close(self) -> None:
        """Nothing to end."""


def test_models_side_by_side_do_not_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many want two models of one slot: it changes the model once, not with every job."""
    begun: list[str] = []
    pool = Pool(config().model)
    jobs = [DecodeJob([[1]], DecodeSpec(8, 4), 1, 1, 1, name) for name in ("a", "b") * 10]

    def others_wait() -> bool:
        return len(pool._waiting) == len(jobs) - 1

    monkeypatch.setattr(
        pooling.Child, "started", lambda *rest: Pretended(rest[2]["adapter"], begun, others_wait)
    )
    with ThreadPoolExecutor(len(jobs)) as threads:
        list(threads.map(pool.run, jobs))
    pool._children.clear()  # there is nothing to end
    assert Counter(begun) == {"a": 10, "b": 10}
    assert sum(one != two for one, two in pairwise(begun)) == 1


def test_a_job_that_waits_for_a_slot_ends_with_the_pool(pool_of: Any) -> None:
    with pool_of(workers=1) as pool, ThreadPoolExecutor(2) as threads:
        both = [threads.submit(pool.shard, 77) for _ in range(2)]
        until(lambda: len(pool._waiting) == 1 and pool.pids(), "one works and one waits")
        pool.close()
        assert all(isinstance(one.exception(), SubprocessError) for one in both)
        assert any("is closed" in str(one.exception()) for one in both)


def test_workers_that_rest_end_and_others_begin_when_there_is_work(pool_of: Any, tmp_path: Path) -> None:
    with pool_of(workers=1) as pool:
        pool.shard(0)
        pool.rest()
        assert pool.pids() == []
        pool.shard(1)
    assert len({pid for *_, pid in seen(tmp_path)}) == 2

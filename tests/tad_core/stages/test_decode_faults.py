"""Evaluations that are killed, share slices or lose a process: each slice is decoded once, the table is the same."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import ModelConfig, parse_config
from tad_core.errors import KilledError, OutOfMemoryError, StoreError, SubprocessError
from tad_core.progress import Progress
from tad_core.stages.evaluate import evaluate, key
from tad_core.stages.sharing import Shares
from tad_core.workers.pool import Pool
from tests.tad_core.stages.test_decode import rows, slices
from tests.waiting import CEILING_S, until

Undisturbed = Callable[[dict[str, Any]], list[dict[str, Any]]]
PROBLEMS, SLOTS = 20, 2
#: of a response: long enough for its slice to be killed in the middle
LONG = 64
#: Evaluates, and notes every slice that a process is given to decode.
RUN = """
import sys, threading, yaml
from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages.decode import Decoding
from tad_core.stages.evaluate import evaluate
from tad_core.workers.pool import Pool
make, run, here = Decoding._make, Pool.run, threading.local()
def noted(self, piece):
    here.name = piece.name
    return make(self, piece)
def given(self, job, *rest):
    with open(sys.argv[2], "a") as journal:
        journal.write(here.name + "\\n")
    return run(self, job, *rest)
Decoding._make, Pool.run = noted, given
config = parse_config(yaml.safe_load(open(sys.argv[1])))
print("go", flush=True)
evaluate(config, "base", None, Store(config.store))
"""


@pytest.fixture
def tree(tiny_tree: dict[str, Any]) -> dict[str, Any]:
    """Forty slices of one sum each, over two processes."""
    tiny_tree["rollout"] |= {"response_length": 32, "lease_s": 5.0}
    tiny_tree["evaluate"] |= {
        "harness": "direct",
        "tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": PROBLEMS}],
        "thresholds": [0.5],
        "operating_threshold": 0.5,
        "decode": {"block_length": 16, "early_stop": False},
        "slice_size": 1,
        "workers": SLOTS,
    }
    return tiny_tree


@pytest.fixture(scope="module")
def pool(tiny_checkpoint: Path) -> Iterator[Pool]:
    with Pool(ModelConfig(path=str(tiny_checkpoint), device="cpu", threads=1)) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(pool: Pool) -> Undisturbed:
    """The rows of an evaluation that nothing happens to, made once for each configuration."""
    known: dict[str, list[dict[str, Any]]] = {}

    def made(tree: dict[str, Any]) -> list[dict[str, Any]]:
        config = parse_config(tree)
        mark = key(config, "base")
        if mark not in known:
            known[mark] = rows(evaluate(config, "base", None, Store(f"{config.store}-alone"), pool=pool))
        return known[mark]

    return made


def found(tree: dict[str, Any]) -> ArtifactRef:
    config = parse_config(tree)
    ref = Store(config.store).find("evaluate", key(config, "base"))
    assert ref is not None
    return ref


class Evaluation:
    """The evaluation of a configuration as a process of its own."""

    def __init__(self, tree: dict[str, Any], folder: Path) -> None:
        self.journal = folder / "journal"
        (folder / "config.yaml").write_text(yaml.safe_dump(tree))
        self.command = [sys.executable, "-c", RUN, str(folder / "config.yaml"), str(self.journal)]

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        return process

    @staticmethod
    def kill(process: subprocess.Popen[str]) -> None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        until(lambda: not alive(family), "the processes end after their parent")

    def begun(self) -> Counter[str]:
        return Counter(self.journal.read_text().split())


def family_of(pid: int) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Of an evaluation: who forks its workers, and these; other children come and go."""
    with contextlib.suppress(psutil.NoSuchProcess):
        forking = [child for child in psutil.Process(pid).children() if "nursery" in child.cmdline()]
        return forking, [worker for one in forking for worker in one.children()]
    return [], []


class Attacked(Evaluation):
    """One that goes on where it was killed, or where processes of it were.

    Attributes:
        killed: whom each attack hit.
        lost: how many slices that may have cost.
    """

    def __init__(self, tree: dict[str, Any], folder: Path, store: Store, seed: int) -> None:
        super().__init__(tree, folder)
        self.killed: list[str] = []
        self.lost = 0
        self._store, self._draw = store, random.Random(seed)
        self._process: subprocess.Popen[str] | None = None

    def attack(self) -> None:
        """Kill itself, who forks its workers, or one of them, some time after another slice is there."""
        process = self._running()
        before = len(slices(self._store))
        until(lambda: len(slices(self._store)) > before or process.poll() is not None, "another slice")
        time.sleep(self._draw.random() * 0.15)
        process = self._running()
        forking, workers = family_of(process.pid)
        whom = self._draw.choice(("itself", "who forks", "a worker", "a worker")) if workers else "itself"
        if whom == "itself":
            self.kill(process)
        else:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._draw.choice(forking if whom == "who forks" else workers).kill()
        self.lost += {"itself": SLOTS + 1, "who forks": SLOTS, "a worker": 1}[whom]
        self.killed.append(whom)

    def end(self) -> None:
        """Let it come to its end; one slice may by chance have died as often as it is tried."""
        for _ in range(3):
            process = self._running()
            process.communicate(timeout=CEILING_S)
            if not process.returncode:
                return
        pytest.fail("it does not come to its end")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = self.start()
        return self._process


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "problems"), [(2, 20), (10, 100)])
def test_killed_at_random_it_decodes_every_slice_once_and_repeats_those_in_hand_alone(
    tree: dict[str, Any], pool: Pool, tmp_path: Path, kills: int, problems: int, undisturbed: Undisturbed
) -> None:
    tree["evaluate"]["tasks"][0]["count"] = problems
    tree["rollout"]["response_length"] = LONG
    store = Store(tree["store"])
    evaluation = Attacked(tree, tmp_path, store, seed=kills)
    there: dict[Path, int] = {}
    for _ in range(kills):
        evaluation.attack()
        assert there.items() <= slices(store).items(), "a finished slice was written again"
        there = slices(store)
        assert len(there) < 2 * problems, "it was done before it could be killed"
    evaluation.end()
    repeated = evaluation.begun().total() - 2 * problems
    print(
        f"{2 * problems} slices, {repeated} begun again of {evaluation.lost}: {', '.join(evaluation.killed)}"
    )
    assert len(slices(store)) == 2 * problems and there.items() <= slices(store).items()
    assert len(evaluation.begun()) == 2 * problems and repeated <= evaluation.lost
    assert rows(found(tree)) == undisturbed(tree)
    assert not list(Path(store.root).rglob(".tmp-*"))


@pytest.mark.slow
def test_two_that_evaluate_the_same_share_the_slices(
    tree: dict[str, Any], pool: Pool, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    tree["rollout"]["response_length"] = LONG
    evaluation = Evaluation(tree, tmp_path)
    both = [evaluation.start() for _ in range(2)]
    for process in both:
        process.communicate(timeout=CEILING_S)
    assert [process.returncode for process in both] == [0, 0]
    assert set(evaluation.begun().values()) == {1} and len(evaluation.begun()) == 2 * PROBLEMS
    assert rows(found(tree)) == undisturbed(tree)
    assert not [p for p in Path(tree["store"], ".leases", "decode").rglob("*") if p.is_file()]


@pytest.mark.slow
def test_one_of_two_that_evaluate_the_same_is_killed_and_begins_again(
    tree: dict[str, Any], pool: Pool, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    tree["rollout"]["response_length"] = LONG
    store, evaluation = Store(tree["store"]), Evaluation(tree, tmp_path)
    both = [evaluation.start() for _ in range(2)]
    until(lambda: slices(store), "a slice")
    there = slices(store)
    assert len(there) < 2 * PROBLEMS, "it was done before it could be killed"
    evaluation.kill(both[0])
    both[0] = evaluation.start()
    for process in both:
        process.communicate(timeout=CEILING_S)
    assert [process.returncode for process in both] == [0, 0]
    assert len(slices(store)) == 2 * PROBLEMS and there.items() <= slices(store).items()
    assert evaluation.begun().total() <= 2 * PROBLEMS + SLOTS + 1
    assert rows(found(tree)) == undisturbed(tree)


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_process_costs_its_slice_alone(
    tree: dict[str, Any], pool: Pool, kills: int, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    config = parse_config(tree)
    before, store, draw = undisturbed(tree), Store(config.store), random.Random(kills)
    jobs: list[int] = []
    real = pool.run

    def counted(job: Any, *rest: Any) -> Any:
        jobs.append(1)
        return real(job, *rest)

    monkeypatch.setattr(pool, "run", counted)
    # Chance may choose one slice, or one slot, again and again; when that ends it is another test's.
    monkeypatch.setattr("tad_core.stages.decode._TRIES", kills + 1)
    monkeypatch.setattr("tad_core.workers.pool.DEATHS_IN_A_ROW", kills + 1)
    killed: list[int] = []
    finished: dict[Path, int] = {}

    def kill(progress: Progress) -> None:
        working = sorted(set(pool.pids()) - set(killed))
        if len(killed) < kills and progress.done > 3 * len(killed) and working:
            finished.update(slices(store))
            killed.append(draw.choice(working))
            os.kill(killed[-1], signal.SIGKILL)

    assert rows(evaluate(config, "base", None, store, kill, pool=pool)) == before
    assert len(killed) == kills and not set(killed) & set(pool.pids())
    assert 2 * PROBLEMS <= len(jobs) <= 2 * PROBLEMS + kills
    assert finished.items() <= slices(store).items(), "a finished slice was decoded again"


def test_processes_that_keep_dying_end_it_and_what_was_decoded_stays(
    tree: dict[str, Any], pool: Pool, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    config = parse_config(tree)
    store = Store(config.store)
    real = pool.run

    def dying(job: Any, *rest: Any) -> Any:
        if slices(store):
            raise KilledError("evaluate: the decoding process was killed")
        return real(job, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "run", dying)
        with pytest.raises(SubprocessError, match="was killed"):
            evaluate(config, "base", None, store, pool=pool)
    there = slices(store)
    assert there
    assert rows(evaluate(config, "base", None, store, pool=pool)) == undisturbed(tree)
    assert there.items() <= slices(store).items()


def test_what_no_slice_can_do_is_not_tried_with_every_slice(
    tree: dict[str, Any], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config(tree)
    asked: list[int] = []

    def full(*_: Any) -> Any:
        asked.append(1)
        raise OutOfMemoryError("evaluate.batch_size: not even one")

    monkeypatch.setattr(pool, "run", full)
    with pytest.raises(OutOfMemoryError, match="not even one"):
        evaluate(config, "base", None, Store(config.store), pool=pool)
    assert len(asked) <= SLOTS + 1, "only what was in hand already"


def test_for_a_full_disk_no_more_is_decoded(
    tree: dict[str, Any], pool: Pool, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    """A claim may still find room where a slice does not."""
    config, begun = parse_config(tree), []
    store = Store(config.store)

    def full(*_: Any) -> None:
        begun.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("tad_core.stages.decode.write_slice", full)
        with pytest.raises(StoreError, match="the disk is full"):
            evaluate(config, "base", None, store, pool=pool)
    assert len(begun) <= SLOTS + 1, "only what was in hand already"
    assert not pool.closed and not list(Path(store.root).rglob(".tmp-*"))
    assert rows(evaluate(config, "base", None, store, pool=pool)) == undisturbed(tree)


def test_a_fault_of_the_store_leaves_the_processes_to_other_models(
    tree: dict[str, Any], pool: Pool, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    config = parse_config(tree)
    store = Store(config.store)
    ended = Shares.ended

    def fails(self: Any, *rest: Any) -> None:
        ended(self, *rest)
        raise OSError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(Shares, "ended", fails)
        with pytest.raises(OSError, match="the store is away"):
            evaluate(config, "base", None, store, pool=pool)
    there = slices(store)
    assert there and not pool.closed
    assert rows(evaluate(config, "base", None, store, pool=pool)) == undisturbed(tree)
    assert there.items() <= slices(store).items()


def test_with_its_pool_closed_nobody_waits_for_what_others_decode(
    tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Ctrl-C has ended the processes of all models, and another host has the slices that are left."""
    config = parse_config(tree)
    monkeypatch.setattr(Shares, "next", lambda _: None)
    with Pool(config.model) as closed:
        closed.close()
        with pytest.raises(SubprocessError, match="the pool of workers is closed"):
            evaluate(config, "base", None, Store(config.store), pool=closed)

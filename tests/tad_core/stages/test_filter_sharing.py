"""Several processes filter one collection: each shard is judged once, and what one has begun another ends."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.data.problem import Problem
from tad_core.errors import VerifierError
from tad_core.progress import Progress
from tad_core.stages import filter as stage
from tad_core.stages.filter import ShardToJudge, pieces_of
from tad_core.trajectory.shards import read_verdicts
from tad_core.verify import Judgement
from tests.tad_core.stages.test_filter import FakePlan, FakeVerifier, collect, make_config, row
from tests.waiting import until

ROWS = {f"privileged-{i:05d}-{i + 1:05d}": [row(f"p{i}", str(10 + i % 4))] for i in range(6)}


class Slow(FakeVerifier):
    """Notes in a file who judges what, and judges when it may."""

    log: Path
    may: Callable[[], bool]

    def judge(
        self, problems: Sequence[Problem], texts: Sequence[str], on_progress: Callable[[int, int], None]
    ) -> list[Judgement]:
        with self.log.open("a") as handle:
            handle.write(f"{os.getpid()} {problems[0].id}\n")
        until(type(self).may, "it may go on")
        return super().judge(problems, texts, on_progress)


@pytest.fixture(autouse=True)
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Slow]:
    Slow.opened, Slow.judged, Slow.log, Slow.may = 0, [], tmp_path / "log", lambda: True
    Slow.log.touch()
    monkeypatch.setattr(stage, "Verifier", Slow)
    return Slow


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_who_stops_does_not_wait_for_what_others_judge(store: Store) -> None:
    config = make_config()
    collection, refs = collect(store, ROWS)
    plan = FakePlan()

    def stop() -> None:
        raise VerifierError("stopped")

    shards = [ShardToJudge(name, ref) for name, ref in zip(ROWS, refs, strict=True)]
    with pieces_of(config, plan, store, shards) as others:
        while others.next() is not None:
            pass
        with pytest.raises(VerifierError, match="stopped"):
            stage.filter_all(config, plan, collection, store, check=stop)


def fork(work: Callable[[], object]) -> int:
    if pid := os.fork():
        return pid
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def judged(slow: type[Slow]) -> list[tuple[int, str]]:
    lines = [line.split() for line in slow.log.read_text().splitlines()]
    return [(int(pid), problem) for pid, problem in lines]


def verdicts(store: Store, filtered: ArtifactRef) -> dict[str, list[dict[str, object]]]:
    return {name: read_verdicts(filtered.local(f"{name}.verdicts.parquet")) for name in ROWS}


def test_processes_share_the_shards_and_agree(store: Store, slow: type[Slow], tmp_path: Path) -> None:
    collection, _ = collect(store, ROWS)
    # Nobody ends all of them before the other begins.
    slow.may = lambda: len({pid for pid, _ in judged(slow)}) >= 2
    children = [
        fork(lambda: stage.filter_all(make_config(), FakePlan(), collection, store)) for _ in range(2)
    ]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    seen = judged(slow)
    assert sorted(problem for _, problem in seen) == [f"p{i}" for i in range(6)]
    assert {pid for pid, _ in seen} == set(children)
    together = stage.filter_all(make_config(), FakePlan(), collection, store)
    alone_store = Store(tmp_path / "alone")
    alone = stage.filter_all(make_config(), FakePlan(), collect(alone_store, ROWS)[0], alone_store)
    assert together.digest == alone.digest
    assert verdicts(store, together) == verdicts(alone_store, alone)


def test_of_one_that_was_killed_only_its_shard_is_judged_again(store: Store, slow: type[Slow]) -> None:
    collection, _ = collect(store, ROWS)
    slow.may = lambda: len(judged(slow)) < 3
    child = fork(lambda: stage.filter_all(make_config(), FakePlan(), collection, store))
    until(lambda: len(judged(slow)) >= 3, "the child is at its third shard")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    begun = judged(slow)
    slow.may = lambda: True
    seen: list[Progress] = []
    stage.filter_all(make_config(), FakePlan(), collection, store, seen.append)
    counts = Counter(problem for _, problem in judged(slow))
    assert set(counts) == {f"p{i}" for i in range(6)}
    # the one that it had begun, and no other
    assert {p: n for p, n in counts.items() if n > 1} == {begun[-1][1]: 2}
    assert [p.done for p in seen] == list(range(1, 7))


def test_a_shard_in_other_hands_is_left_to_them_and_waited_for(store: Store, slow: type[Slow]) -> None:
    collection, refs = collect(store, ROWS)
    config, plan = make_config(), FakePlan()
    shards = [ShardToJudge(name, ref) for name, ref in zip(ROWS, refs, strict=True)]
    with pieces_of(config, plan, store, shards) as other:
        held = other.next()
        assert held == shards[0]

        def end() -> None:
            other.ended(held, stage.filter_shard(config, plan, held.ref, store))

        until_others_are_done = threading.Thread(
            target=lambda: (until(lambda: len(judged(slow)) == 5, "the rest is judged"), end())
        )
        until_others_are_done.start()
        filtered = stage.filter_all(config, plan, collection, store)
        until_others_are_done.join()
    order = [problem for _, problem in judged(slow)]
    assert order[-1] == "p0" and sorted(order) == [f"p{i}" for i in range(6)]
    assert stage.read_summary(filtered)["rows"] == 6


def test_two_that_judged_the_same_shard_leave_one_piece(store: Store, slow: type[Slow], monkeypatch) -> None:
    """A claim ran out while its owner slept: whoever is later takes what is there."""
    _, refs = collect(store, ROWS)
    config, plan = make_config(), FakePlan()
    real = stage.judge_rows
    inner: list[ArtifactRef] = []

    def overtaken(*args: object) -> list[Judgement]:
        if not inner:
            inner.append(None)
            inner[0] = stage.filter_shard(config, plan, refs[0], store)
        return real(*args)

    monkeypatch.setattr(stage, "judge_rows", overtaken)
    outer = stage.filter_shard(config, plan, refs[0], store)
    assert outer == inner[0] and outer.manifest.created_at == inner[0].manifest.created_at
    assert outer.manifest.wall_s == inner[0].manifest.wall_s


def test_what_failed_is_given_back(store: Store, slow: type[Slow]) -> None:
    collection, _ = collect(store, {**ROWS, "privileged-00000-00001": [row("p0", "broken")]})
    with pytest.raises(VerifierError):
        stage.filter_all(make_config(), FakePlan(), collection, store)
    leases = store.leases("filter", stage.key(make_config(), FakePlan()), 600)
    assert leases.held_elsewhere() == {} and leases.take("privileged-00000-00001")
    leases.close()


def test_a_damaged_piece_of_verdicts_is_judged_again_alone(store: Store, slow: type[Slow]) -> None:
    collection, _ = collect(store, ROWS)
    filtered = stage.filter_all(make_config(), FakePlan(), collection, store)
    name = list(ROWS)[3]
    filtered.local(f"{name}.verdicts.parquet").write_bytes(b"other")
    slow.log.write_text("")
    again = stage.filter_all(make_config(), FakePlan(), collection, store)
    assert [problem for _, problem in judged(slow)] == ["p3"] and again == filtered
    slow.log.write_text("")
    stage.filter_all(make_config(), FakePlan(), collection, store, force=True)
    assert len(judged(slow)) == 6

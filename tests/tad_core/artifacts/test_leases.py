from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from tad_core.artifacts import ArtifactRef, Store, clocks, files, leases
from tad_core.artifacts.leases import Leases
from tad_core.errors import StoreError
from tests.waiting import until

FP = "f" * 32


@pytest.fixture(params=["disk", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"memory://bucket{tmp_path}"


def elsewhere(url: str, piece: str, generation: int, age_s: float, lease_s: float = 30.0) -> None:
    """A claim as another host wrote it ``age_s`` ago."""
    fields = {"machine": "other.x.1", "pid": 1, "started": 0.0, "beat": time.time() - age_s}
    files.write_bytes(f"{url}/{piece}.{generation}.json", json.dumps({**fields, "lease_s": lease_s}).encode())


def test_of_many_that_create_one_succeeds(url: str) -> None:
    threads, wins = [], []
    for i in range(8):
        threads.append(
            threading.Thread(target=lambda i=i: wins.append(files.create_bytes(f"{url}/a", str(i).encode())))
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == [False] * 7 + [True]
    assert files.list_names(url) == {"a"} and files.list_names(f"{url}/none") == set()
    files.remove(f"{url}/a")
    files.remove(f"{url}/a")
    assert files.read_bytes(f"{url}/a") is None


def test_a_piece_has_one_owner_until_it_is_given_back(url: str) -> None:
    with Leases(url, 30) as one, Leases(url, 30) as two:
        assert one.take("s") and one.take("s") and not two.take("s") and two.take("t")
        assert set(two.held_elsewhere()) == {"s"} and str(os.getpid()) in two.held_elsewhere()["s"].holder
        one.release("s")
        assert two.take("s") and not one.take("s")
    assert files.list_names(url) == set()


def test_a_full_disk_takes_no_claim_and_says_so(small_disk: Path) -> None:
    with Leases(str(small_disk / "claims"), 30) as leases:
        assert leases.take("a")
        with (small_disk / "filled").open("wb", buffering=0) as filled, contextlib.suppress(OSError):
            while True:
                filled.write(bytes(4096))
        with pytest.raises(StoreError, match=r"claims cannot be written \(the disk is full\)"):
            leases.take("b")
        assert {p.name for p in (small_disk / "claims").iterdir()} == {"a.1.json"}, (
            "nothing half done is left"
        )


def test_what_is_not_renewed_is_taken_over_once(url: str) -> None:
    elsewhere(url, "fresh", 1, age_s=5)
    elsewhere(url, "old", 3, age_s=31)
    with Leases(url, 30) as one, Leases(url, 30) as two:
        assert set(one.held_elsewhere()) == {"fresh"}
        assert not one.take("fresh")
        assert one.take("old") and not two.take("old")
        elsewhere(url, "old", 3, age_s=0)  # it was only slow; its claim is of the past
        assert not two.take("old") and set(two.held_elsewhere()) == {"fresh", "old"}
    assert files.list_names(url) == {"fresh.1.json"}


def test_a_claim_by_a_clock_that_is_ahead_ends_when_it_is_renewed_no_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1e9]
    monkeypatch.setattr(leases, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0]))
    day = 86400

    def renewed() -> None:
        beat = {"machine": "other.x.1", "pid": 1, "started": 0.0, "beat": now[0] + day, "lease_s": 30.0}
        files.write_bytes(f"{url}/a.1.json", json.dumps(beat).encode())

    with Leases(url, 30) as one:
        for _ in range(3):
            renewed()
            assert not one.take("a") and set(one.held_elsewhere()) == {"a"}
            now[0] += 29
        assert not one.take("a")
        now[0] += 2  # 31 s after the last beat was first seen
        assert one.held_elsewhere() == {} and one.take("a")


def test_a_claim_that_nobody_can_read_counts_for_nothing(url: str) -> None:
    files.write_bytes(f"{url}/a.1.json", b"{")
    files.write_bytes(f"{url}/notes.txt", b"mine")
    with Leases(url, 30) as one:
        assert one.held_elsewhere() == {} and one.take("a")


def test_claims_are_renewed_while_they_are_held(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's: of a claim that is not renewed it has run out two times over."""
    now = [1e9]
    monkeypatch.setattr(leases, "time", SimpleNamespace(time=lambda: now[0]))
    with Leases(url, 1.5) as one, Leases(url, 1.5) as two:
        assert one.take("s")
        for _ in range(3):
            now[0] += 1.4
            until(lambda: [c.beat for c in two.held_elsewhere().values()] == [now[0]], "the claim is renewed")
            assert not two.take("s")


def test_a_store_that_refuses_once_ends_no_renewing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given back while it was renewed, a claim is taken away again, and that may fail too."""
    refused, asked = threading.Event(), leases.remove

    def renewed(place: str, content: bytes) -> None:
        files.write_bytes(place, content)
        if place.endswith("/gone.1.json"):
            one.release("gone")
            monkeypatch.setattr(leases, "remove", refuse)

    def refuse(place: str) -> None:
        monkeypatch.setattr(leases, "remove", asked)
        refused.set()
        raise OSError("503 slow down")

    monkeypatch.setattr(leases, "write_bytes", renewed)
    with Leases(url, 1.5) as one:
        assert one.take("gone") and one.take("kept")
        assert refused.wait(30)
        before = time.time()
        until(lambda: one._read("kept", 1).beat > before, "the other claim is renewed")  # type: ignore[union-attr]


def test_the_claim_of_a_killed_process_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom tad_core.artifacts.leases import Leases\n"
        "print(Leases(sys.argv[1], 3600).take('s'), flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "True\n" and files.list_names(str(tmp_path)) == {"s.1.json"}
    with Leases(str(tmp_path), 3600) as mine:
        assert mine.held_elsewhere() == {} and mine.take("s")


def put(store: Store, text: str, unless=None) -> ArtifactRef:
    with store.writer("stage", 1, FP, {}) as writer:
        writer.write_text("data.txt", text)
        return writer.commit(unless=unless)


def test_the_second_to_finish_notices_and_writes_nothing(url: str) -> None:
    store = Store(url)
    first = put(store, "one")
    second = put(store, "two", unless=lambda: store.find("stage", FP))
    assert second == first and second.local("data.txt").read_text() == "one"


def test_of_two_that_finish_at_once_one_gets_in_and_is_whole(url: str) -> None:
    """The other finishes between the first look and the manifest: equal content is taken, other is replaced."""
    store = Store(url)
    for mine in ("one", "two"):
        answers: list[ArtifactRef | None] = []

        def unless(mine: str = mine, answers: list[ArtifactRef | None] = answers) -> ArtifactRef | None:
            if not answers:
                store.discard("stage", FP)
                answers.append(store.find("stage", FP))
                return None
            answers.append(store.find("stage", FP))
            return answers[-1]

        original = files.create_bytes

        def late(target: str, content: bytes, durable: bool = False) -> bool:
            put(store, "one")
            if mine == "two":  # noqa: B023 (the slower one's file is on top, under the quicker one's manifest)
                files.write_bytes(f"{store.url('stage', FP)}/data.txt", b"two")
            return original(target, content, durable)  # noqa: B023

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tad_core.artifacts.writer.create_bytes", late)
            ref = put(store, mine, unless)
        assert store.find("stage", FP) == ref and ref.local("data.txt").read_text() == mine
        assert len(answers) == 2


@pytest.mark.parametrize("behind_s", [1000, -1000])
def test_hosts_whose_clocks_differ_agree_by_the_one_of_the_store(
    url: str, behind_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own, the claims of a host that is behind had all run out, and others made what it had in hand."""
    right = time.time
    wrong = SimpleNamespace(time=lambda: right() - behind_s, monotonic=time.monotonic)
    store = Store(url)
    with monkeypatch.context() as patch:
        patch.setattr(clocks, "time", wrong)
        patch.setattr(leases, "time", wrong)
        store.check_writable(0)
        there = store.leases("stage", FP, 30)
        assert there.take("theirs")
        told = f"is 1000 s {'behind' if behind_s > 0 else 'ahead of'} the one of the store"
        assert told in clocks.note(url) and clocks.ahead_s(f"{url}/stage") == pytest.approx(behind_s, abs=3)
    store.check_writable(0)
    assert not clocks.note(url)
    with there, store.leases("stage", FP, 30) as here:
        assert not here.take("theirs") and set(here.held_elsewhere()) == {"theirs"}


def test_who_only_looks_sees_the_claims_of_a_host_whose_clock_is_ahead(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs go by the store's clock, which ``tad status`` does not measure, since it writes nothing."""
    right = time.time
    monkeypatch.setattr(clocks, "_AHEAD_S", {})
    monkeypatch.setattr(clocks, "time", SimpleNamespace(time=lambda: right() + 1000))
    monkeypatch.setattr(
        leases, "time", SimpleNamespace(time=lambda: right() + 1000, monotonic=time.monotonic)
    )
    store = Store(url)
    store.check_writable(0)
    with store.leases("stage", FP, 30) as run:
        assert run.take("piece")
        monkeypatch.setattr(clocks, "_AHEAD_S", {})
        assert set(store.claims("stage", FP)) == {"piece"}
    assert not store.claims("stage", FP)


@pytest.mark.parametrize("told", [None, 0.0])
def test_a_store_that_tells_no_times_has_the_clock_of_this_host(told: float | None) -> None:
    with clocks.measured("memory://timeless", lambda: told):
        pass
    assert clocks.ahead_s("memory://timeless/stage") == 0 and not clocks.note("memory://timeless")


def test_a_time_without_a_zone_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in two zones would read it hours apart, and take each other's claims for old."""
    store = Store(url)
    fs, _ = files.open_url(store.root)
    naive = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=5)
    monkeypatch.setattr(type(fs), "modified", lambda *_: naive)
    store.check_writable(0)
    assert clocks.ahead_s(f"{url}/stage") == 0

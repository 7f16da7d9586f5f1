"""What a collection of many shards costs: each thing is asked for once, not once for every shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tad_core.artifacts import Store, ref, stamps, verified
from tad_core.artifacts import store as store_module
from tad_core.stages import mending, sharing
from tad_core.stages.collect import (
    STAGE,
    STAGE_VERSION,
    CollectionPlan,
    ShardSpec,
    find_collection,
    find_shard,
    find_shards,
)
from tad_core.stages.sharing import Shares
from tad_core.stages.status import Look


def plan_of(shards: int) -> CollectionPlan:
    return CollectionPlan("f" * 32, [], [], [ShardSpec(i, "privileged", i, i + 1) for i in range(shards)])


def make(
    store: Store, plan: CollectionPlan, shards: list[ShardSpec] | None = None, close: bool = True
) -> None:
    refs = []
    for shard in plan.shards if shards is None else shards:
        with store.writer(
            STAGE, STAGE_VERSION, plan.fingerprint, {}, manifest_name=f"{shard.name}.json"
        ) as writer:
            writer.path(f"{shard.name}.parquet", rows=1, by_content=True).write_text(shard.name)
            refs.append(writer.commit({"compared": 0}))
    if close:
        with store.writer(STAGE, STAGE_VERSION, plan.fingerprint, {}) as writer:
            for made in refs:
                writer.keep(made.manifest.files)
            writer.commit(
                {
                    "shards": [{"name": s.name, "condition": s.condition, "rows": 1} for s in plan.shards],
                    "trajectories": len(plan.shards),
                }
            )


def counting(seen: Counter[str], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its calls counted."""

    def call(*args: Any, **options: Any) -> Any:
        seen[name] += 1
        return real(*args, **options)

    return call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a manifest was read, and a folder listed."""
    seen: Counter[str] = Counter()
    read, listed, found = ref.read_bytes, store_module.list_names, stamps.stamps_of

    def reading(url: str) -> bytes | None:
        seen["collection" if url.endswith("/manifest.json") else "shard"] += 1
        return read(url)

    def listing(url: str) -> set[str]:
        seen["list"] += 1
        return listed(url)

    def stamping(url: str, names: Any) -> Any:
        seen["stamps"] += 1
        return found(url, names)

    monkeypatch.setattr(ref, "read_bytes", reading)
    monkeypatch.setattr(store_module, "list_names", listing)
    monkeypatch.setattr(ref, "stamps_of", stamping)
    return seen


@pytest.mark.parametrize("shards", [3, 40])
def test_a_finished_collection_is_read_from_its_own_manifest_read_once(
    shards: int, asked: Counter[str]
) -> None:
    store, plan = Store(f"memory://growth/read-{shards}"), plan_of(shards)
    make(store, plan)
    asked.clear()
    found = find_collection(plan, store)
    assert found is not None
    paths = found.locals([f"{s['name']}.parquet" for s in found.manifest.info["shards"]])
    assert [path.read_text() for path in paths] == [shard.name for shard in plan.shards]
    assert asked["collection"] == 1 and asked["shard"] == 0 and asked["stamps"] <= 3


def test_a_file_of_a_bucket_is_verified_by_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    store, plan = Store("memory://growth/requests"), plan_of(40)
    make(store, plan)
    verified._verified.cache_clear()
    seen: Counter[str] = Counter()
    for name in ("cat_file", "info", "open"):
        monkeypatch.setattr(MemoryFileSystem, name, counting(seen, name, getattr(MemoryFileSystem, name)))
    monkeypatch.setenv("TAD_CACHE", "/proc/no-such-place")  # nothing is known of these files
    assert find_collection(plan, store) is not None
    assert seen == {"cat_file": 40 + 1}  # and the manifest; an open file asks for its size first


@pytest.mark.parametrize("change", ["shorter", "longer", "other", "emptied"])
def test_a_file_that_changes_while_it_is_read_is_none(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(ref, "_PART_BYTES", 4)
    store, plan = Store(f"memory://growth/{change}"), plan_of(1)
    make(store, plan)
    found = find_collection(plan, store)
    assert found is not None
    (name,) = found.manifest.files
    path = f"/growth/{change}/{STAGE}/{plan.fingerprint}/{name}"
    read = MemoryFileSystem.cat_file

    def changing(
        self: Any, asked: str, start: int | None = None, end: int | None = None, **more: Any
    ) -> bytes:
        part: bytes = read(self, asked, start=start, end=end, **more)
        if start == 0 and asked.endswith(name):
            content = read(self, path)
            new = {
                "shorter": content[:-1],
                "longer": content + b"!",
                "other": b"?" * len(content),
                "emptied": b"",
            }
            self.pipe_file(path, new[change])
        return part

    monkeypatch.setattr(MemoryFileSystem, "cat_file", changing)
    assert Store(store.root, anew=True).find(STAGE, plan.fingerprint) is None


def test_lost_manifests_are_written_from_one_look_at_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    store, plan = Store("memory://growth/mended"), plan_of(12)
    make(store, plan)
    found = find_collection(plan, store)
    assert found is not None
    for shard in plan.shards[2:]:
        store.discard(STAGE, plan.fingerprint, f"{shard.name}.json")
    seen: Counter[str] = Counter()
    monkeypatch.setattr(mending, "plain_name", counting(seen, "names", mending.plain_name))
    assert mending.mend_shards(found) == 10
    assert seen["names"] <= 12  # each file of the list, not each for every lost manifest
    for shard in plan.shards:
        assert (one := store.find(STAGE, plan.fingerprint, manifest_name=f"{shard.name}.json")) is not None
        assert one.local(f"{shard.name}.parquet").read_text() == shard.name


def test_the_status_of_a_finished_collection_is_one_listing(asked: Counter[str]) -> None:
    store, plan = Store("memory://growth/status"), plan_of(5)
    make(store, plan)
    names = [shard.name for shard in plan.shards]
    asked.clear()
    look = Look(store)
    look.pieces("collect", plan.fingerprint, names, whole=True)
    assert [entry.state for entry in look.seen] == ["done"] * 5 and asked == {"list": 1}
    store.discard(STAGE, plan.fingerprint, f"{names[2]}.json")
    look = Look(store)
    look.pieces("collect", plan.fingerprint, names, whole=True)
    assert [entry.state for entry in look.seen] == ["done", "done", "missing", "done", "done"]


def test_the_status_of_a_running_collection_asks_for_the_shards_that_are_there(
    asked: Counter[str], tmp_path
) -> None:
    store, plan = Store(tmp_path), plan_of(6)
    make(store, plan, plan.shards[:3], close=False)
    names = [shard.name for shard in plan.shards]
    (tmp_path / STAGE / plan.fingerprint / f"{names[1]}.json").write_text("{")
    asked.clear()
    look = Look(store)
    look.pieces("collect", plan.fingerprint, names, whole=False)
    assert [entry.state for entry in look.seen] == ["done", "broken", "done"] + ["missing"] * 3
    assert asked["list"] == 1 and asked["shard"] <= 4
    anew = Look(Store(tmp_path, anew=True))
    anew.pieces("collect", plan.fingerprint, names, whole=True)
    assert [entry.state for entry in anew.seen] == [entry.state for entry in look.seen]


def test_shards_that_are_there_are_taken_after_one_look(asked: Counter[str], tmp_path) -> None:
    store, plan = Store(tmp_path), plan_of(12)
    make(store, plan, plan.shards[:9], close=False)
    damaged = next((tmp_path / STAGE / plan.fingerprint).glob("privileged-00004-00005.*.parquet"))
    damaged.write_text("other")
    asked.clear()
    with Shares(plan, store, 30) as shares:
        assert [shard.index for shard in shares.todo() if shard] == [4, 9, 10, 11]
        assert sorted(shares.refs) == [plan.shards[i].name for i in (0, 1, 2, 3, 5, 6, 7, 8)]
    # Those that are to be made are looked for once more.
    assert asked["list"] <= 2 and asked["shard"] <= 9 + 4


def test_shards_of_a_bucket_are_taken_by_one_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a question for each of their files."""
    store, plan = Store("memory://growth/taken"), plan_of(40)
    make(store, plan, plan.shards[:37], close=False)
    seen: Counter[str] = Counter()
    for name in ("info", "find"):
        monkeypatch.setattr(MemoryFileSystem, name, counting(seen, name, getattr(MemoryFileSystem, name)))
    with Shares(plan, store, 30) as shares:
        shares.take_present()
        assert sorted(shares.refs) == [shard.name for shard in plan.shards[:37]]
    assert seen == {"find": 1}
    seen.clear()
    assert len(find_shards(plan, plan.shards, store)) == 37 and seen == {"find": 1}


def test_a_file_that_came_after_the_listing_is_asked_for() -> None:
    store, plan = Store("memory://growth/later"), plan_of(20)
    make(store, plan, plan.shards[:18], close=False)
    seen = store.at_a_glance(STAGE, plan.fingerprint, 20)
    make(store, plan, plan.shards[18:], close=False)
    assert all(find_shard(plan, shard, seen) for shard in plan.shards)


def test_looks_are_rarer_where_they_take_long(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    clock = [100.0]
    monkeypatch.setattr(sharing.time, "monotonic", lambda: clock[0])
    looks: list[float] = []
    real = Store.manifests

    def slow(self: Store, stage: str, fingerprint: str) -> set[str]:
        looks.append(clock[0])
        clock[0] += 2.0
        return real(self, stage, fingerprint)

    monkeypatch.setattr(Store, "manifests", slow)
    with Shares(plan_of(3), Store(tmp_path), 30, may_claim=False) as shares:
        for _ in range(100):
            shares.next()
            clock[0] += 1.0
        monkeypatch.undo()
    assert len(looks) <= 6  # a tenth of 112 s, and the first


def test_settings_of_many_manifests_are_held_once(tmp_path) -> None:
    store, plan = Store(tmp_path), plan_of(3)
    make(store, plan)
    manifests = [
        store.find(STAGE, plan.fingerprint, manifest_name=f"{s.name}.json").manifest for s in plan.shards
    ]
    assert len({id(m.config) for m in manifests}) == len({id(m.hardware) for m in manifests}) == 1
    assert all(m.is_intact() for m in manifests)

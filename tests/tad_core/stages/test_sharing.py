from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store, files
from tad_core.errors import SubprocessError
from tad_core.stages.collect import STAGE, STAGE_VERSION, CollectionPlan, ShardSpec
from tad_core.stages.sharing import Shares
from tests.waiting import CEILING_S, until

PLAN = CollectionPlan("f" * 32, [], [], [ShardSpec(i, "privileged", i, i + 1) for i in range(4)])
NAMES = [shard.name for shard in PLAN.shards]


def make(store: Store, shard: ShardSpec) -> ArtifactRef:
    with store.writer(
        STAGE, STAGE_VERSION, PLAN.fingerprint, {}, manifest_name=f"{shard.name}.json"
    ) as writer:
        writer.write_text(f"{shard.name}.parquet", shard.name)
        return writer.commit()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def shares(store: Store, **options: Any) -> Shares:
    return Shares(PLAN, store, 30, look_s=0.05, **options)


def taken(own: Shares) -> list[str]:
    out = []
    while (shard := own.next()) is not None:
        out.append(shard.name)
    return out


def test_two_never_take_the_same_and_what_is_given_back_is_taken_again(store: Store) -> None:
    with shares(store) as one, shares(store, first=2) as two:
        a, b, c = one.next(), two.next(), two.next()
        assert [s.name for s in (a, b, c)] == [NAMES[0], NAMES[2], NAMES[3]]
        assert taken(one) == [NAMES[1]] and one.left == 2
        two.ended(b)  # it failed there: others may try
        two.ended(c, make(store, c))
        one._looked_at = 0.0
        assert taken(one) == [NAMES[2], NAMES[3]]  # the last one because it is finished
        assert one.own(PLAN.shards[2]) is None and one.own(PLAN.shards[3]).manifest_name == f"{NAMES[3]}.json"


def test_the_finished_are_taken_as_they_are_unless_forced(store: Store) -> None:
    ref = make(store, PLAN.shards[1])
    with shares(store) as own:
        assert [s.index for s in own.todo() if s] == [0, 2, 3] and own.refs == {NAMES[1]: ref}
    with shares(store, force=True) as own:
        assert [s.index for s in own.todo() if s] == [0, 1, 2, 3]


def test_a_helper_leaves_the_finished_to_whoever_closes(store: Store) -> None:
    make(store, PLAN.shards[0])
    with shares(store) as own:
        assert own.drop_present() == 3 and taken(own) == NAMES[1:]


def test_a_shard_in_other_hands_is_waited_for(store: Store) -> None:
    with shares(store) as one, shares(store) as two:
        assert one.next() == PLAN.shards[0]
        timer = threading.Timer(0.3, lambda: one.ended(PLAN.shards[0], make(store, PLAN.shards[0])))
        timer.start()
        assert two.own(PLAN.shards[0]).manifest_name == f"{NAMES[0]}.json"
        assert one.next() == PLAN.shards[1]
        stopped: list[BaseException] = []

        def wait() -> None:
            try:
                two.own(PLAN.shards[1])
            except SubprocessError as error:
                stopped.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        two.stop()
        thread.join(CEILING_S)
        assert len(stopped) == 1


def test_who_only_waits_takes_a_damaged_shard_away_so_that_another_makes_it(store: Store) -> None:
    make(store, PLAN.shards[0])
    Path(store.url(STAGE, PLAN.fingerprint), f"{NAMES[0]}.parquet").write_text("else")
    with shares(store, may_claim=False) as waits, shares(store) as works:
        assert works.present == {NAMES[0]} and waits.next() == PLAN.shards[0] and waits.next() is None
        found: list[ArtifactRef | None] = []
        thread = threading.Thread(target=lambda: found.append(waits.own(PLAN.shards[0])))
        thread.start()
        until(lambda: not store.manifests(STAGE, PLAN.fingerprint), "the damaged shard is taken away")
        works._looked_at = 0.0
        shard = works.next()
        assert works.own(shard) is None
        works.ended(shard, make(store, shard))
        thread.join(CEILING_S)
        assert found[0] is not None


def test_a_damaged_piece_in_other_hands_is_come_back_to(store: Store) -> None:
    """Whoever takes what there is to do must be able to stop meanwhile."""
    make(store, PLAN.shards[0])
    Path(store.url(STAGE, PLAN.fingerprint), f"{NAMES[0]}.parquet").write_text("else")
    with shares(store) as one, shares(store) as two:
        todo = one.todo()
        mended = next(todo)
        assert mended == PLAN.shards[0]
        others = two.todo()
        assert [next(others) for _ in range(4)] == [*PLAN.shards[1:], None]
        one.ended(PLAN.shards[0], make(store, PLAN.shards[0]))
        until(lambda: next(others, "over") == "over", "the mended piece is found")
        assert NAMES[0] in two.refs


def test_at_the_end_claims_of_the_dead_go_and_those_of_the_living_stay(store: Store) -> None:
    """A run that is killed between a shard's manifest and the end of its claim leaves one that nobody asks for."""
    folder = f"{store.root}/.leases/{STAGE}/{PLAN.fingerprint}"
    for shard in PLAN.shards:
        make(store, shard)
    for age_s, name in ((60, NAMES[0]), (5, NAMES[1])):
        fields = {"machine": "other", "pid": 1, "started": 0.0, "beat": time.time() - age_s, "lease_s": 30}
        files.write_bytes(f"{folder}/{name}.1.json", json.dumps(fields).encode())
    with shares(store) as own:
        assert taken(own) == NAMES
    assert files.list_names(folder) == {f"{NAMES[1]}.1.json"}


def test_what_a_killed_worker_had_begun_to_write_is_cleared_away(store: Store) -> None:
    code = (
        "import os, sys\nfrom tad_core.artifacts import Store\n"
        "writer = Store(sys.argv[1]).writer('collect', 1, 'f' * 32, {})\n"
        "writer.write_text('half.txt', 'half')\nos.kill(os.getpid(), 9)"
    )
    with shares(store):
        subprocess.run([sys.executable, "-c", code, store.root], check=False)
        assert list(Path(store.root).rglob("half.txt"))
    assert not list(Path(store.root).rglob("half.txt"))

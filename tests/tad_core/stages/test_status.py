"""What ``tad status`` finds of an unfinished run."""

from __future__ import annotations

import os

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.stages.alone import claimed
from tad_core.stages.collection_plan import plan_collection
from tad_core.stages.status import Look, Stage, StageStatus, pipeline_status


def test_a_shard_that_somebody_has_in_hand_is_told(tiny_config: TADConfig) -> None:
    store = Store(tiny_config.store)
    plan = plan_collection(tiny_config, store)
    with store.leases(plan.stage, plan.fingerprint, 60) as leases:
        assert leases.take(plan.shards[1].name)
        shards = [e for e in pipeline_status(tiny_config, store) if e.stage == "collect" and e.is_shard]
        assert [e.state for e in shards] == ["missing", "running", "missing"]
        assert shards[1].why.endswith(f"(process {os.getpid()})")
    states = {e.state for e in pipeline_status(tiny_config, store)}
    assert states == {"missing"}, "it has given the shard back"


def test_a_claim_on_what_is_done_says_nothing(tiny_config: TADConfig) -> None:
    store = Store(tiny_config.store)
    with store.writer("collect", 1, "f" * 32, {}, manifest_name="one.json") as writer:
        writer.write_text("one.txt", "x")
        writer.commit({})
    look = Look(store)
    with store.leases("collect", "f" * 32, 60) as leases:
        assert leases.take("one")
        look.pieces("collect", "f" * 32, ["one", "two"], whole=False, part="round of first")
    assert [(e.state, e.part) for e in look.seen] == [
        ("done", "round of first"),
        ("missing", "round of first"),
    ]


@pytest.mark.parametrize("stage", ["calibrate", "distill", "evaluate", "report"])
def test_what_somebody_makes_is_being_made_and_by_whom(tiny_config: TADConfig, stage: Stage) -> None:
    store, mark = Store(tiny_config.store), "e" * 32

    def seen() -> StageStatus:
        look = Look(store)
        assert look.at(stage, "one", mark, []) is None
        look.begun("a checkpoint of step 3 is there to go on from")
        return look.seen[0]

    with claimed(store, stage, mark, 60, lambda: None):
        now = seen()
        assert now.state == "running"
        assert now.why.startswith("on ") and f"(process {os.getpid()}); a checkpoint of step 3" in now.why
    assert (seen().state, seen().why) == ("missing", "a checkpoint of step 3 is there to go on from")

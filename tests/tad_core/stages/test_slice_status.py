"""How far an evaluation is, told from its slices and from who has them in hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig, parse_config
from tad_core.decoding import Decoded
from tad_core.evaluation.decoders import ways
from tad_core.stages.decode import write
from tad_core.stages.evaluate import load_tasks
from tad_core.stages.slice_plan import SlicePlan, plan_slices
from tad_core.stages.slice_status import SlicesSeen, slices_seen
from tad_core.stages.status import StageStatus, pipeline_status


@pytest.fixture
def config(tiny_tree: dict[str, Any]) -> TADConfig:
    """Five sums, token by token and at one threshold, two at a time: six slices."""
    task = {"name": "sums", "source": "arithmetic", "split": "heldout", "count": 5}
    tiny_tree["evaluate"] |= {"tasks": [task], "slice_size": 2, "models": ["base", "quality"]}
    return parse_config(tiny_tree)


def plan_of(config: TADConfig, store: Store) -> SlicePlan:
    return plan_slices(config, None, load_tasks(config), ways(config, "base"), None, store)


def write_some(config: TADConfig, store: Store, count: int) -> None:
    """The first slices of the base, with texts that nobody decoded."""
    plan = plan_of(config, store)
    for piece in plan.pieces[:count]:
        places = list(range(piece.start, piece.stop))
        rows = [Decoded([3] * 16, 4, list(range(1, 17)), False, 0.1) for _ in places]
        write(config, plan, piece, store, places, rows)


def evaluations(config: TADConfig, store: Store) -> dict[str, StageStatus]:
    return {e.name: e for e in pipeline_status(config, store) if e.stage == "evaluate"}


def test_an_evaluation_says_how_many_of_its_slices_are_there(config: TADConfig) -> None:
    store = Store(config.store)
    assert evaluations(config, store)["base"].why == ""
    write_some(config, store, 2)
    seen = evaluations(config, store)
    assert (seen["base"].state, seen["base"].why) == ("missing", "2 of 6 slices are there")
    assert (seen["quality"].state, seen["quality"].why) == ("missing", ""), "its adapter is not there"


def test_tasks_with_the_same_prompts_have_their_slices_in_common(config: TADConfig) -> None:
    task = config.evaluate.tasks[0]
    both = [task, task.model_copy(update={"name": "judged otherwise"})]
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"tasks": both})})
    store = Store(config.store)
    assert len(plan_of(config, store).pieces) == 12 and plan_of(config, store).samples == 10
    write_some(config, store, 2)
    assert evaluations(config, store)["base"].why == "2 of 6 slices are there"


def test_who_decodes_slices_is_named(config: TADConfig) -> None:
    store = Store(config.store)
    plan = plan_of(config, store)
    with store.leases(plan.stage, plan.fingerprint, 60) as leases:
        assert leases.take(plan.pieces[0].name) and leases.take("of-another-evaluation")
        seen = evaluations(config, store)["base"]
        assert seen.state == "running"
        assert seen.why.startswith("0 of 6 slices are there, 1 being decoded by ")
        assert seen.why.endswith(f" (process {os.getpid()})")
    assert evaluations(config, store)["base"].state == "missing", "it has given them back"


def test_a_damaged_slice_counts_for_nothing(config: TADConfig) -> None:
    store = Store(config.store)
    write_some(config, store, 2)
    file = next(Path(store.root).glob("decode/*/*-00000-00002.*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    seen = slices_seen(config, "base", None, load_tasks(config), store)
    assert seen == SlicesSeen(1, 1, 6, {})
    assert seen.told() == "1 of 6 slices are there, 1 damaged"

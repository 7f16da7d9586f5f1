"""Work is counted from the configuration and from what earlier runs left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tad_core.artifacts import Store
from tad_core.stages import filter as filter_stage
from tad_core.stages.collect import find_collection, plan_collection
from tests.tad_core.planning.common import counted, demo, leave


def test_the_work_of_the_demo_is_counted_from_its_configuration(tmp_path: Path) -> None:
    counts = counted(demo(), Store(tmp_path))
    assert (counts.problems, counts.compared, counts.samples, counts.shards) == (76, 12, 88, 6)
    assert (counts.steps, counts.states, counts.models, counts.prompts) == (144, 144 * 16, 2, 52)
    assert counts.programs == pytest.approx(12 / 76)
    assert 20 < counts.student < counts.teacher < 200
    assert any("all 76 are assumed" in note for note in counts.notes)


def test_states_are_counted_of_what_each_model_is_trained_on(tmp_path: Path) -> None:
    """References, rollouts that nobody judges and those without the reference are other numbers of rows."""
    kinds = {
        "any": "{objective: random, settings: {answers: any}}",
        "plain": "{objective: random, settings: {trajectories: plain}}",
        "unjudged": "{objective: random, settings: {trajectories: plain, answers: any}}",
        "sft": "{objective: sft}",
        "labelled": "{objective: d3llm, settings: {labels: reference}}",
    }
    models = [f"models.{name}={text}" for name, text in kinds.items()]
    config = demo("distill.max_steps=", "models.quality=", "models.speed=", *models,
                  f"evaluate.models=[base,{','.join(kinds)}]")  # fmt: skip
    a_row = config.distill.states_per_trajectory // config.distill.global_batch_size
    store = Store(tmp_path)

    def steps() -> dict[str, int]:
        found = counted(config, store)
        batch = config.distill.global_batch_size
        return {name: found.by_model.get(name, found.states) // batch // a_row for name in kinds}

    assert steps() == {"any": 76, "plain": 12, "unjudged": 12, "sft": 76, "labelled": 76}
    assert counted(config, store).steps == 76 * a_row
    plan = plan_collection(config)
    shards = [{"name": shard.name, "condition": shard.condition} for shard in plan.shards]
    leave(config, store, "collect", plan.fingerprint, shards=shards)
    collection = find_collection(plan, store)
    assert collection is not None
    by_source = [
        {"source": source, "condition": condition, "kept": kept}
        for source, condition, kept in (
            ("arithmetic", "privileged", 30), ("pyfunc", "privileged", 8), ("arithmetic", "plain", 5),
        )
    ]  # fmt: skip
    with store.writer("filter", 1, filter_stage.key(config, plan), {}, [collection]) as writer:
        writer.write_json("summary.json", {"by_source": by_source})
        writer.commit({"kept": 38})
    assert steps() == {"any": 76, "plain": 5, "unjudged": 12, "sft": 76, "labelled": 38}
    assert counted(config, store).kept == 38


def test_steps_follow_from_states_epochs_and_batch(tmp_path: Path) -> None:
    config = demo("distill.max_steps=null", "distill.epochs=2", "distill.states_per_trajectory=10")
    assert counted(config, Store(tmp_path)).steps == round(76 * 10 * 2 / 16)

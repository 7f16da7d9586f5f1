"""Objectives that learn of the run in the trainer: what they are told, and that a resumed run knows it too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tad_core.config import DistillConfig, LoraConfig
from tad_core.objectives import make_objective
from tad_core.objectives.tad import partition_batch
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import StatePlan, load_kept
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained, parse_spec

DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)
LEARNING = {"follow": {"steps": 2, "threshold": 0.02, "smoothing": 1}, "emphasis": 1.0, "soften_near": 0.6}


@pytest.fixture
def make(world, checkpoint, tmp_path):
    def build(root, **changes):
        settings = {"save_steps": 3, "max_steps": 9, "learning_rate": 5e-2, **LEARNING, **changes}
        tree = world.make_spec(tmp_path / root, checkpoint, window=2).model_dump(mode="json")
        tree["distill"] |= {**settings, "lora": settings.get("lora", world.make_config().lora).model_dump()}
        return parse_spec({**tree, "run_id": "of these data"})

    return build


def found_in(output):
    rows = [{k: v for k, v in row.items() if k != "wall_s"} for row in read_losses(output / "losses.jsonl")]
    return rows, (output / "adapter" / "adapter_model.safetensors").read_bytes()


def test_the_window_moves_and_the_next_but_one_step_is_split_by_it(make, world):
    spec = make("run")
    assert train(spec, StopRequest())
    rows, _ = found_in(spec.adapters[0].output)
    windows = [row["window"] for row in rows]
    assert windows[:3] == [2, 2, 2] and len(set(windows)) > 2
    assert all(windows[s] == windows[s + 1] for s in range(1, 8, 2))  # read after steps 2, 4, 6 and 8
    table = load_kept(spec.trajectories, spec.verdicts, world.LENGTH)
    plan = StatePlan(table, make_objective(spec.distill, 2), spec.distill)
    for step, row in enumerate(rows):
        states = slice(step * plan.batch, (step + 1) * plan.batch)
        revealed_at_BL = table.revealed_at_RL[plan.row_S[states]].astype(np.int64)
        near_BL, distant_BL = partition_batch(revealed_at_BL, plan.draw_S[states], int(row["window"]))
        assert (row["near_count"], row["distant_count"]) == (near_BL.sum(), distant_BL.sum())


@pytest.mark.slow
def test_after_kill_9_it_knows_what_the_undisturbed_run_knew(world, make):
    """Checkpoints are of steps 3 and 6: between two readings, and with one that is not in use yet."""
    undisturbed, spec = make("undisturbed"), make("killed")
    assert train(undisturbed, StopRequest())

    for step in (5, 8):
        world.killed_at(spec, step)
    assert train(spec, StopRequest())
    assert found_in(spec.adapters[0].output) == found_in(undisturbed.adapters[0].output)


def test_beside_others_each_learns_for_itself(make, tmp_path):
    """One that follows, one whose window follows at another confidence, and one that does not."""
    ways = {"one": LEARNING, "two": {**LEARNING, "follow": {"steps": 1, "threshold": 0.6}}, "three": {}}
    off = {"follow": {}, "emphasis": 0.0, "soften_near": 0.0}
    alone = {name: make(f"alone-{name}", **off | way) for name, way in ways.items()}
    assert all(train(spec, StopRequest()) for spec in alone.values())
    first = make("together").model_copy(update={"name": "one", "output": str(tmp_path / "one")})
    also = [
        AlsoTrained(name=name, window=2, loss=off | ways[name], run_id=name, output=str(tmp_path / name))
        for name in ("two", "three")
    ]
    together = parse_spec(first.model_copy(update={"also": also}).model_dump(mode="json"))
    assert train(together, StopRequest())
    expected = {name: found_in(spec.adapters[0].output) for name, spec in alone.items()}
    assert {name: found_in(tmp_path / name) for name in ways} == expected
    assert len({rows[-1]["loss"] for rows, _ in expected.values()}) == 3
    assert "window" not in expected["three"][0][0]


def test_two_processes_learn_what_one_learns(world, make):
    changes = {"lora": DRY, "max_steps": 6, "micro_batch_size": 2, "learning_rate": 1e-2}
    one, two = make("one", **changes), make("two", **changes)
    assert train(one, StopRequest())
    world.two_ranks(two)
    rows, others = (found_in(spec.adapters[0].output)[0] for spec in (one, two))
    assert [row["window"] for row in rows] == [row["window"] for row in others]
    for row, other in zip(rows, others, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


def test_distances_are_counted_of_the_text_alone(world, tmp_path):
    rows = [world.make_trajectory(i) for i in range(2)]
    rows[1] = rows[1].__class__(**{**vars(rows[1]), "filled_from": 6})
    shard, judged = world.make_shard(tmp_path / "data", rows)
    settings = DistillConfig(
        states_per_trajectory=1, global_batch_size=2, micro_batch_size=2, follow={"steps": 1}, emphasis=1.0
    )
    objective = make_objective(settings, 3)
    table = load_kept([shard], [judged], world.LENGTH)
    plan = StatePlan(table, objective, settings)
    batch = Collator(table, plan, [objective], Reader(world.MASK, ends=frozenset({world.EOS})))([0, 1])
    (part,) = batch["parts"]
    row_B, step_B = plan.row_S[:2], plan.draw_S[:2]
    masked_BL = table.revealed_at_RL[row_B] > step_B[:, None]
    for name, chosen_BL in zip(
        ("near", "distant"),
        partition_batch(table.revealed_at_RL[row_B].astype(np.int64), step_B, 3),
        strict=True,
    ):
        expected = []
        for row, step, chosen_L in zip(row_B, step_B, chosen_BL & masked_BL, strict=True):
            for place in np.flatnonzero(chosen_L):
                revealed = int(table.revealed_at_RL[row, place])
                # The last two tokens are ends: the first of them is text, the second is not.
                text = place < world.LENGTH - 1 and revealed < table.filled_from_R[row]
                expected.append(revealed - step - 1 if text else -1)
        assert part[f"{name}_bins"]["offset"].tolist() == expected
        assert torch.equal(
            part[f"{name}_bins"]["stage"],
            torch.from_numpy(np.repeat(step_B * 16 // world.LENGTH, (chosen_BL & masked_BL).sum(1))),
        )

"""The states of a training run and their order, for given seeds: what they have always been."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from tad_core.objectives import make_objective
from tad_core.training.dataset import StatePlan, load_kept

#: objective, settings -> sha256 over rows and draws in order
DRAWN = {
    "tad": ({}, "8c99f6d112c238cd"),
    "tad, epochs": ({"max_steps": None, "epochs": 3.4, "global_batch_size": 10}, "725b088718e12369"),
    "tad, all states": ({"states_per_trajectory": 12, "max_steps": 20, "seed": 5}, "42df76694e9188dd"),
    "tad, one filled": ({"filled_states": "one", "max_steps": 30}, "c9258950422a3322"),
    "tad, none filled": (
        {"filled_states": "skip", "max_steps": 30, "global_batch_size": 6, "micro_batch_size": 2},
        "5c236bc634657693",
    ),
    "tad, more than an epoch a step": (
        {"global_batch_size": 100, "micro_batch_size": 4, "max_steps": 3},
        "89c90e22df0f5ffd",
    ),
    "sft": ({"objective": "sft"}, "3c354a6318e10543"),
    "sft, epochs": ({"objective": "sft", "max_steps": None, "epochs": 2.5, "seed": 3}, "1f01e8a389ffedf6"),
}


def plan_of(world, tmp_path, settings):
    rows = [
        dataclasses.replace(world.make_trajectory(i), filled_from=(13, 5, 1, 12, 9)[i % 5]) for i in range(11)
    ]
    shard, judged = world.make_shard(tmp_path / "data", rows)
    config = world.make_config(**{"micro_batch_size": 2, **settings})
    return StatePlan(load_kept([shard], [judged], world.LENGTH), make_objective(config, 3), config)


@pytest.mark.parametrize("name", DRAWN)
def test_rows_and_draws_are_those_of_the_seed(world, tmp_path, name):
    settings, expected = DRAWN[name]
    plan = plan_of(world, tmp_path, settings)
    content = np.stack([np.asarray(plan.row_S[:], np.int64), np.asarray(plan.draw_S[:], np.int64)])
    assert content.shape == (2, len(plan))
    assert hashlib.sha256(content.tobytes()).hexdigest()[:16] == expected

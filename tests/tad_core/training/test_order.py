"""The order of an epoch: shuffled in memory, or keyed, of which nothing is in memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest

from tad_core.errors import DataError
from tad_core.objectives import make_objective
from tad_core.rng import generator
from tad_core.training import order
from tad_core.training.dataset import Prompts, StatePlan, TrainingTable, load_kept
from tad_core.training.spec import MOST_SHUFFLED, order_for


class Names:
    """A million names, none of them in memory."""

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, row: int) -> str:
        return f"made-up/{row}"


def test_a_short_order_is_numpys_shuffle() -> None:
    assert (order.ordered("shuffled", 3, 1, 1000) == generator("order", 3, 1).permutation(1000)).all()


def test_more_than_memory_should_hold_is_not_shuffled() -> None:
    assert order_for(MOST_SHUFFLED) == "shuffled" and order_for(MOST_SHUFFLED + 1) == "keyed"
    with pytest.raises(
        DataError, match=r"order: shuffled, and an epoch of 16,777,217 states .* to keyed, or"
    ):
        order.ordered("shuffled", 3, 1, MOST_SHUFFLED + 1)


def test_a_keyed_epoch_visits_every_drawn_state_once(world, tmp_path) -> None:
    shard, judged = world.make_shard(tmp_path, [world.make_trajectory(i) for i in range(5)])
    table = load_kept([shard], [judged], world.LENGTH)
    plans = []
    for seed, micro in ((42, 1), (42, 6), (43, 6)):
        config = world.make_config(max_steps=10, seed=seed, global_batch_size=6, micro_batch_size=micro)
        plan = StatePlan(table, make_objective(config, 3), config, "keyed")
        plans.append(list(zip(plan.row_S[:].tolist(), plan.draw_S[:].tolist(), strict=True)))
    seen = [Counter(plans[0][start : start + 30]) for start in (0, 30)]
    for epoch in seen:
        assert max(epoch.values()) == 1
        assert Counter(row for row, _ in epoch.elements()) == dict.fromkeys(range(5), 6)
    assert seen[0] != seen[1]
    assert plans[0] == plans[1] != plans[2]  # the micro-batch does not show, the seed does


def test_an_epoch_of_256_million_states_costs_what_its_rows_cost(world) -> None:
    rows, length = 1_000_000, 256
    prompts = Prompts(np.zeros(0, dtype=np.int32), np.zeros(rows, dtype=np.int64))
    table = TrainingTable(
        names=Names(),  # type: ignore[arg-type]
        student=prompts,
        teacher=prompts,
        response_RL=np.broadcast_to(np.int32(0), (rows, length)),
        revealed_at_RL=np.broadcast_to(np.int16(1), (rows, length)),
        filled_from_R=np.full(rows, length + 1, dtype=np.int16),
    )
    config = world.make_config(states_per_trajectory=length, max_steps=5_000_000)
    tracemalloc.start()
    try:
        plan = StatePlan(table, make_objective(config, 3), config, order_for(rows * length))
        for step in (0, 1, 2_500_000, 4_500_000):  # in this epoch and in the next
            plan.step(step)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert plan.epoch_states == 256_000_000
    assert peak < 60 * rows, f"{peak / rows:.0f} bytes a row"

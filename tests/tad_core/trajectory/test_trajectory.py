from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tad_core.errors import ArtifactError
from tad_core.trajectory.schema import Trajectory
from tad_core.trajectory.shards import read_trajectories, read_verdicts, write_trajectories, write_verdicts
from tad_core.trajectory.states import masked_at, partition, sample_steps, state_at

ROW = Trajectory("p/1", "s", "math", 0, "privileged", [1, 2], [1, 9, 2], [5, 6, 7], [2, 1, 3], [0.5, 0.25, 0.0], 3,
                 "exact", "a b")  # fmt: skip
ORDERS = st.integers(1, 24).flatmap(lambda n: st.permutations(list(range(1, n + 1))))


def test_states_by_hand() -> None:
    ids, at = np.array(ROW.response_ids), np.array(ROW.revealed_at)
    assert [state_at(ids, at, t, 0).tolist() for t in range(4)] == [
        [0, 0, 0],
        [0, 6, 0],
        [5, 6, 0],
        [5, 6, 7],
    ]


def test_partition_by_hand_with_the_clamp() -> None:
    at = np.array([2, 1, 4, 3])
    near, distant = partition(at, 0, 2)
    assert (near.tolist(), distant.tolist()) == ([True, True, False, False], [False, False, True, True])
    near, distant = partition(at, 2, 99)
    assert (near.tolist(), distant.any()) == ([False, False, True, True], False)


@given(order=ORDERS, data=st.data())
def test_partition_properties(order: list[int], data: st.DataObject) -> None:
    at, length = np.array(order), len(order)
    step, window = data.draw(st.integers(0, length - 1)), data.draw(st.integers(1, 40))
    near, distant = partition(at, step, window)
    masked = masked_at(at, step)
    assert not (near & distant).any() and ((near | distant) == masked).all()
    assert near.sum() == min(window, length - step)
    assert (not distant.any()) == (step + window >= length)


@given(order=ORDERS)
def test_states_are_monotone_and_differ_by_one(order: list[int]) -> None:
    at = np.array(order)
    for step in range(len(order)):
        before, after = masked_at(at, step), masked_at(at, step + 1)
        assert (after <= before).all() and before.sum() - after.sum() == 1


@pytest.mark.parametrize(("step", "window"), [(-1, 1), (4, 1), (0, 0)])
def test_partition_refuses_what_is_no_training_state(step: int, window: int) -> None:
    with pytest.raises(ValueError, match=r"use (0 to 3|at least 1)"):
        partition(np.array([1, 2, 3, 4]), step, window)


def test_sampled_steps_are_distinct_keyed_and_complete() -> None:
    steps = sample_steps("k", 64, 16)
    assert len(set(steps.tolist())) == 16 and steps.min() >= 0 and steps.max() < 64
    assert sample_steps("k", 64, 16).tolist() == steps.tolist() != sample_steps("l", 64, 16).tolist()
    assert sample_steps("k", 5, 9).tolist() == [0, 1, 2, 3, 4]


def test_shards_round_trip_and_are_byte_stable(tmp_path: Path) -> None:
    rows = [replace(ROW, problem_id=f"p/{i}") for i in range(50)]
    write_trajectories(tmp_path / "a.parquet", rows)
    write_trajectories(tmp_path / "b.parquet", rows)
    assert read_trajectories(tmp_path / "a.parquet") == rows
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_bit_flips_never_give_wrong_rows(tmp_path: Path) -> None:
    rows = [replace(ROW, problem_id=f"p/{i}", response_ids=[i, i + 1, i + 2]) for i in range(200)]
    write_trajectories(tmp_path / "a.parquet", rows)
    clean = (tmp_path / "a.parquet").read_bytes()
    rng, noticed = random.Random(0), 0
    for _ in range(120):
        data = bytearray(clean)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "b.parquet").write_bytes(bytes(data))
        try:
            assert read_trajectories(tmp_path / "b.parquet") == rows
        except ArtifactError:
            noticed += 1
    assert noticed > 60  # the rest fell into bytes that hold no data


def test_other_schemas_are_refused(tmp_path: Path) -> None:
    write_verdicts(tmp_path / "v.parquet", [
        {"problem_id": "p", "source": "s", "sample": 0, "condition": "plain", "verdict": "passed", "reason": "",
         "extracted": "1"}])  # fmt: skip
    assert read_verdicts(tmp_path / "v.parquet")[0]["verdict"] == "passed"
    with pytest.raises(ArtifactError, match="not trajectory/1"):
        read_trajectories(tmp_path / "v.parquet")

"""Sequences, indices, counts: against what a loop over samples would do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tad_core.objectives import make_objective
from tad_core.training.collate import Collator, Reader, join
from tad_core.training.dataset import Prompts, StatePlan, load_kept
from tad_core.trajectory.states import partition

KINDS = ("near", "distant")


@pytest.fixture
def made(world, tmp_path):
    def build(**config):
        rows = [world.make_trajectory(i) for i in range(6)]
        shard, judged = world.make_shard(tmp_path / "data", rows)
        settings = world.make_config(**config)
        objective = make_objective(settings, 3)
        table = load_kept([shard], [judged], world.LENGTH)
        plan = StatePlan(table, objective, settings)
        return rows, plan, Collator(table, plan, [objective], Reader(world.MASK))

    return build


def test_batch_against_a_loop(world, made):
    rows, plan, collator = made()
    indices = [2, 3, 4, 5]
    batch = collator(indices)
    near, distant = [], []
    for b, i in enumerate(indices):
        row, step = rows[plan.row_S[i]], int(plan.draw_S[i])
        revealed_at_L = np.array(row.revealed_at)
        state = [
            world.MASK if r > step else t for t, r in zip(row.response_ids, row.revealed_at, strict=True)
        ]
        for who, prompt in (("student", row.student_prompt_ids), ("teacher", row.teacher_prompt_ids)):
            first, last = batch[who]["tokens"]["start_B1"][b : b + 2].tolist()
            assert batch[who]["ids_T"][first:last].tolist() == prompt + state
            assert batch[who]["at_T"][first:last].tolist() == list(range(len(prompt) + world.LENGTH))
        for positions, collected in zip(partition(revealed_at_L, step, 3), (near, distant), strict=True):
            for p in np.nonzero(positions)[0]:
                collected.append((
                    int(batch["student"]["tokens"]["start_B1"][b]) + len(row.student_prompt_ids) + p,
                    int(batch["teacher"]["tokens"]["start_B1"][b]) + len(row.teacher_prompt_ids) + p,
                    row.response_ids[p],
                ))  # fmt: skip
    (part,) = batch["parts"]
    assert tokens(batch, part, "near_student_N") == [n[0] for n in near]
    assert part["near_labels_N"].tolist() == [n[2] for n in near]
    assert tokens(batch, part, "distant_student_N") == [d[0] for d in distant]
    assert tokens(batch, part, "distant_student_N", "teacher") == [d[1] for d in distant]
    assert part["distant_labels_N"].tolist() == [d[2] for d in distant]


def tokens(batch, part, name, who="student"):
    """Which of the tokens laid end to end these rows are; student and teacher have theirs at the same places."""
    return batch[who]["wanted_N"][part[name]].tolist()


def test_rows_of_the_loss_are_exactly_the_mask_tokens(world, made):
    _, plan, collator = made()
    for start in range(0, len(plan), 4):
        batch = collator(list(range(start, start + 4)))
        (part,) = batch["parts"]
        for who in ("student", "teacher"):
            masked = (batch[who]["ids_T"] == world.MASK).nonzero().flatten().tolist()
            if who == "teacher":
                assert set(tokens(batch, part, "distant_student_N", "teacher")) <= set(masked)
            else:
                read = (tokens(batch, part, f"{kind}_student_N") for kind in KINDS)
                assert sorted(itertools.chain(*read)) == masked == batch[who]["wanted_N"].tolist()


def test_totals_are_those_of_the_whole_step(made):
    _, plan, collator = made(global_batch_size=8, micro_batch_size=2)
    for step in range(plan.steps):
        parts = [collator(list(range(step * 8 + i, step * 8 + i + 2)))["parts"][0] for i in range(0, 8, 2)]
        near, distant = (sum(len(p[f"{n}"]) for p in parts) for n in ("near_labels_N", "distant_labels_N"))
        assert all(p["totals_T"].tolist() == [near, distant] for p in parts)


def test_a_distant_part_that_does_not_count_is_left_out(made):
    batch = made(distant="none")[2]([0, 1])
    names = [*batch, *batch["parts"][0]]
    assert not [name for name in names if name.startswith("distant") or "teacher" in name]


@given(st.integers(1, 5), st.integers(1, 9), st.integers(2, 7), st.integers(0, 2**31 - 1))
def test_join_is_concatenation_and_padding(states, longest, length, seed):
    rng = np.random.default_rng(seed)
    length_R = rng.integers(1, longest + 1, size=8)
    prompts = Prompts.of([rng.integers(10, 99, size=n).tolist() for n in length_R])
    row_B = rng.integers(0, 8, size=states).astype(np.int32)
    state_BL = rng.integers(100, 200, size=(states, length))
    ids_BW, mask_BW = join(prompts, row_B, state_BL, pad=7)
    for b, row in enumerate(row_B):
        expected = [*prompts[row].tolist(), *state_BL[b].tolist()]
        assert ids_BW[b].tolist() == expected + [7] * (ids_BW.shape[1] - len(expected))
        if mask_BW is not None:
            assert mask_BW[b].sum() == len(expected) and mask_BW[b, : len(expected)].all()
    assert (mask_BW is None) == (len({int(length_R[r]) for r in row_B}) == 1)
    assert mask_BW is None or ids_BW.shape[1] % 8 == 0


def test_sft_rows_carry_their_weights(world, made, tmp_path):
    settings = world.make_config(objective="sft")
    _, plan, collator = made()
    objective = make_objective(settings, None)
    plan = StatePlan(collator.table, objective, settings)
    sft = Collator(collator.table, plan, [objective], Reader(world.MASK))
    batch = sft([0, 1, 2, 3])
    masked = (batch["student"]["ids_T"] == world.MASK).nonzero().flatten()
    assert tokens(batch, batch["parts"][0], "masked_student_N") == masked.tolist()
    assert batch["parts"][0]["masked_weights_N"].shape == batch["parts"][0]["masked_labels_N"].shape
    assert batch["parts"][0]["masked_weights_N"].min() >= 1
    assert batch["parts"][0]["totals_T"].tolist() == [8 * world.LENGTH]
    assert batch["parts"][0]["totals_T"].dtype == torch.long  # see Collator.step_totals

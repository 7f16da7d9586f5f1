"""What is trained on, and in which order."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from tad_core.config import Condition
from tad_core.data.problem import Problem
from tad_core.data.prompts import training_teacher_prompt
from tad_core.errors import ArtifactError, DataError, ModelError
from tad_core.models.loading import load_tokenizer
from tad_core.objectives import make_objective
from tad_core.training.dataset import (
    PASSED,
    PRIVILEGED,
    StatePlan,
    load_kept,
    load_references,
    on_reference_labels,
    system_prompts,
)
from tad_core.verify.verdict import Verdict


@pytest.fixture
def kept(world, tmp_path):
    def build(rows=6, **config):
        trajectories = [world.make_trajectory(i) for i in range(rows)]
        shard, judged = world.make_shard(tmp_path / "data", trajectories)
        table = load_kept([shard], [judged], world.LENGTH)
        settings = world.make_config(**config)
        return table, StatePlan(table, make_objective(settings, 3), settings), trajectories

    return build


def test_only_privileged_rows_that_passed(world, tmp_path):
    rows = [world.make_trajectory(i, condition="plain" if i == 2 else "privileged") for i in range(5)]
    shard, judged = world.make_shard(tmp_path, rows, ["passed", "different", "passed", "timeout", "passed"])
    assert list(load_kept([shard], [judged], world.LENGTH).names) == ["toy/0/0", "toy/4/0"]
    assert list(load_kept([shard], [], world.LENGTH).names) == ["toy/0/0", "toy/1/0", "toy/3/0", "toy/4/0"]
    assert list(load_kept([shard, shard], [judged, judged], world.LENGTH).names) == ["toy/0/0", "toy/4/0"] * 2


def test_arrays_are_the_trajectories(kept):
    table, _, rows = kept()
    for r, row in enumerate(rows):
        for prompts, ids in (
            (table.student, row.student_prompt_ids),
            (table.teacher, row.teacher_prompt_ids),
        ):
            assert prompts.length_R[r] == len(ids)
            assert prompts[r].tolist() == ids
        assert table.response_RL[r].tolist() == row.response_ids
        assert table.revealed_at_RL[r].tolist() == row.revealed_at


FILLED_FROM = [13, 5, 1, 12]
"""Nothing filled in; from step 5 on; an empty response; the last position alone. L is 12."""


@pytest.mark.parametrize(
    ("filled_states", "states"),
    [
        ("all", [range(12), range(12), range(12), range(12)]),
        # State 4 is followed by step 5, the first filled in.
        (
            "one",
            [range(12), range(5), range(1), range(12)],
        ),
        ("skip", [range(12), range(4), range(0), range(11)]),
    ],
)
def test_states_that_were_filled_in(world, tmp_path, filled_states, states):
    rows = [
        dataclasses.replace(world.make_trajectory(i), filled_from=step) for i, step in enumerate(FILLED_FROM)
    ]
    shard, judged = world.make_shard(tmp_path, rows)
    table = load_kept([shard], [judged], world.LENGTH)
    assert table.filled_from_R.tolist() == FILLED_FROM
    total = sum(len(steps) for steps in states)
    settings = world.make_config(
        filled_states=filled_states,
        states_per_trajectory=12,
        max_steps=None,
        global_batch_size=1,
        micro_batch_size=1,
    )
    plan = StatePlan(table, make_objective(settings, 3), settings)
    assert plan.steps == plan.epoch_states == total  # one pass over what is left
    seen = sorted(zip(plan.row_S[:].tolist(), plan.draw_S[:].tolist(), strict=True))
    assert seen == [(r, t) for r, steps in enumerate(states) for t in steps]


def test_fewer_states_than_a_row_has_are_drawn_from_those_left(world, tmp_path):
    rows = [dataclasses.replace(world.make_trajectory(i), filled_from=5) for i in range(3)]
    shard, judged = world.make_shard(tmp_path, rows)
    settings = world.make_config(
        filled_states="skip", states_per_trajectory=3, max_steps=None, global_batch_size=1, micro_batch_size=1
    )
    plan = StatePlan(load_kept([shard], [judged], world.LENGTH), make_objective(settings, 3), settings)
    assert plan.epoch_states == 9 and max(plan.draw_S) <= 3
    assert Counter(plan.row_S[:].tolist()) == {0: 3, 1: 3, 2: 3}


def test_nothing_but_filled_in_states_is_an_error(world, tmp_path):
    shard, judged = world.make_shard(tmp_path, [dataclasses.replace(world.make_trajectory(0), filled_from=1)])
    settings = world.make_config(filled_states="skip")
    with pytest.raises(DataError, match=r"distill\.filled_states: 'skip' leaves no state of the 1 traj"):
        StatePlan(load_kept([shard], [judged], world.LENGTH), make_objective(settings, 3), settings)


def test_the_words_are_those_of_collection_and_verification():
    assert str(Verdict.PASSED) == PASSED
    assert PRIVILEGED in get_args(Condition)


def test_nothing_kept_is_an_error(world, tmp_path):
    shard, judged = world.make_shard(tmp_path, [world.make_trajectory(0)], ["different"])
    with pytest.raises(DataError, match="none of the privileged trajectories"):
        load_kept([shard], [judged], world.LENGTH)


def test_references_may_be_the_labels_in_the_order_of_the_trajectories(world, checkpoint, tmp_path):
    """Rows are those whose reference fits; a problem's samples have its reference both."""
    rows = [world.make_trajectory(i) for i in range(4)]
    rows[3] = dataclasses.replace(rows[3], problem_id="toy/1", sample=1, filled_from=5)
    shard, judged = world.make_shard(tmp_path / "data", rows)
    references = ["w5 w6", "w20", " ".join(["w7"] * world.LENGTH)]  # the last leaves no room for its end
    problems = [Problem(f"toy/{i}", "toy", "math", "w5", text, "1") for i, text in enumerate(references)]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in problems))
    tokenizer = load_tokenizer(checkpoint)
    kept = load_kept([shard], [judged], world.LENGTH)
    table, too_long = on_reference_labels(kept, path, tokenizer)
    assert too_long == 1 and list(table.names) == ["toy/0/0", "toy/1/0", "toy/1/1"]
    ends = [world.EOS] * world.LENGTH
    assert table.response_RL.tolist() == [[*ids, *ends[len(ids) :]] for ids in ([5, 6], [20], [20])]
    assert table.filled_from_R.tolist() == [world.LENGTH + 1] * 3
    for row, of in enumerate((rows[0], rows[1], rows[3])):
        assert table.revealed_at_RL[row].tolist() == of.revealed_at
        assert table.student[row].tolist() == of.student_prompt_ids
        assert table.teacher[row].tolist() == of.teacher_prompt_ids
    path.write_text(json.dumps(problems[0].as_dict()) + "\n")
    with pytest.raises(DataError, match="has no problem 'toy/1', of which there is a trajectory"):
        on_reference_labels(kept, path, tokenizer)
    long = [dataclasses.replace(p, reference=references[2]) for p in problems]
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in long))
    with pytest.raises(
        DataError, match=r"distill\.labels: none of the references of the 4 trajectories fits into 11"
    ):
        on_reference_labels(kept, path, tokenizer)


def test_the_teacher_may_read_the_reference_in_the_system_turn(world, checkpoint, tmp_path):
    rows = [world.make_trajectory(i) for i in range(3)]
    shard, judged = world.make_shard(tmp_path / "data", rows)
    problems = [Problem(f"toy/{i}", "toy", "math", "w5 w6", f"w{20 + i}", "1") for i in range(3)]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in problems))
    tokenizer = load_tokenizer(checkpoint)
    teacher_ids = system_prompts(path, tokenizer, "llada")
    table = load_kept([shard], [judged], world.LENGTH, teacher_ids)
    plain = load_kept([shard], [judged], world.LENGTH)
    for i, problem in enumerate(problems):
        found = table.teacher[i].tolist()
        assert found == training_teacher_prompt(tokenizer, problem, "llada")
    assert (table.response_RL == plain.response_RL).all()
    assert (table.student.ids_N == plain.student.ids_N).all()
    with pytest.raises(DataError, match=r"has no problem 'toy/9', of which there is a trajectory"):
        teacher_ids("toy/9")
    with pytest.raises(ModelError, match=r"distill.teacher_prompt: the system turn of family 'other'"):
        system_prompts(path, tokenizer, "other")("toy/0")


def test_another_response_length_is_an_error(world, tmp_path):
    shard, judged = world.make_shard(tmp_path, [world.make_trajectory(0)])
    with pytest.raises(DataError, match=f"has {world.LENGTH} tokens, not rollout.response_length 13"):
        load_kept([shard], [judged], 13)


def test_verdicts_of_other_rows_are_refused(world, tmp_path):
    shard, _ = world.make_shard(tmp_path / "a", [world.make_trajectory(i) for i in (0, 1)])
    _, judged = world.make_shard(tmp_path / "b", [world.make_trajectory(i) for i in (1, 0)])
    with pytest.raises(ArtifactError, match="does not line up"):
        load_kept([shard], [judged], world.LENGTH)


@pytest.mark.parametrize("column", ["response_ids", "revealed_at", "student_prompt_ids"])
def test_a_flipped_byte_is_noticed(world, tmp_path, column):
    shard, judged = world.make_shard(tmp_path, [world.make_trajectory(i) for i in range(20)])
    group = pq.ParquetFile(shard).metadata.row_group(0)
    chunk = next(
        c for c in map(group.column, range(group.num_columns)) if c.path_in_schema.startswith(column)
    )
    content = bytearray(Path(shard).read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0xFF
    Path(shard).write_bytes(content)
    with pytest.raises(ArtifactError, match="damaged"):
        load_kept([shard], [judged], world.LENGTH)


def test_an_epoch_visits_every_drawn_state_once(kept):
    _, plan, _ = kept(rows=4, states_per_trajectory=6, global_batch_size=8, max_steps=None)
    assert plan.steps == 3 and len(plan) == 24 == plan.epoch_states
    seen = Counter(zip(plan.row_S[:].tolist(), plan.draw_S[:].tolist(), strict=True))
    assert max(seen.values()) == 1
    assert Counter(plan.row_S[:].tolist()) == dict.fromkeys(range(4), 6)


def test_epochs_and_max_steps_set_the_number_of_steps(kept):
    assert kept(rows=4, max_steps=None, epochs=2.0)[1].steps == 6
    assert kept(rows=4, max_steps=None, epochs=0.01)[1].steps == 1
    plan = kept(rows=4, max_steps=10)[1]
    assert plan.steps == 10 and len(plan) == 80
    epochs = [
        set(zip(plan.row_S[p].tolist(), plan.draw_S[p].tolist(), strict=True))
        for p in (np.s_[:24], np.s_[24:48])
    ]
    assert epochs[0] != epochs[1]  # the second epoch draws anew


def test_the_order_is_a_shuffle_keyed_by_the_seed(kept):
    first, again, other = (kept(seed=s)[1] for s in (1, 1, 2))
    assert (first.row_S[:] == again.row_S[:]).all() and (first.draw_S[:] == again.draw_S[:]).all()
    assert (first.row_S[:] != other.row_S[:]).any()
    rows_of_step = [set(first.row_S[i : i + 8].tolist()) for i in range(0, 32, 8)]
    assert min(len(rows) for rows in rows_of_step) >= 3  # global, not trajectory by trajectory


def test_the_micro_batch_does_not_change_the_order(kept):
    one, other = kept(micro_batch_size=1)[1], kept(micro_batch_size=8)[1]
    assert (one.row_S[:] == other.row_S[:]).all() and (one.draw_S[:] == other.draw_S[:]).all()


def test_a_draw_does_not_depend_on_what_else_is_trained_on(kept):
    draws = []
    for rows in (4, 8):
        _, plan, _ = kept(rows=rows, max_steps=None)
        assert len(plan) == plan.epoch_states
        draws.append(
            {d for r, d in zip(plan.row_S[:].tolist(), plan.draw_S[:].tolist(), strict=True) if r == 0}
        )
    assert draws[0] == draws[1] and len(draws[0]) == 6


def test_states_of_a_step_are_sorted_by_length(kept):
    table, plan, _ = kept()
    length_S = (table.student.length_R + table.teacher.length_R)[plan.row_S[:]].reshape(plan.steps, -1)
    assert (np.diff(length_S, axis=1) >= 0).all()


def write_problems(path, references):
    problems = [Problem(f"p/{i}", "toy", "math", "w5 w6", r, "1") for i, r in enumerate(references)]
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in problems))
    return path


def test_references_are_padded_with_end_of_text(world, checkpoint, tmp_path):
    tokenizer = load_tokenizer(checkpoint)
    path = write_problems(
        tmp_path / "problems.jsonl", ["w7 w8 w9", " ".join(["w7"] * 12), " ".join(["w7"] * 11)]
    )
    table, too_long = load_references(path, tokenizer, world.LENGTH)
    assert table.names == ["p/0", "p/2"] and too_long == 1  # 12 words leave no room for the end
    assert table.response_RL[0].tolist() == [7, 8, 9] + [world.EOS] * 9
    assert table.student[0].tolist()[0] == 1 and table.student is table.teacher


def test_no_reference_fits(world, checkpoint, tmp_path):
    path = write_problems(tmp_path / "problems.jsonl", [" ".join(["w7"] * 40)])
    with pytest.raises(DataError, match=r"none of the 1 references .* fits into 11 tokens"):
        load_references(path, load_tokenizer(checkpoint), world.LENGTH)


def test_damaged_problems(world, checkpoint, tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match="cannot be read as problems"):
        load_references(path, load_tokenizer(checkpoint), world.LENGTH)


def test_rollouts_without_the_reference_are_a_table_of_their_own(world, tmp_path):
    rows = [world.make_trajectory(i, condition="plain" if i % 2 else "privileged") for i in range(4)]
    shard, judged = world.make_shard(tmp_path, rows, ["passed", "passed", "passed", "different"])
    assert list(load_kept([shard], [judged], world.LENGTH, condition="plain").names) == ["toy/1/0"]
    assert list(load_kept([shard], [], world.LENGTH, condition="plain").names) == ["toy/1/0", "toy/3/0"]
    assert list(load_kept([shard], [judged], world.LENGTH).names) == ["toy/0/0", "toy/2/0"]


@pytest.mark.parametrize("gone", ["shard", "verdicts"])
def test_a_file_that_is_gone_is_named(world, tmp_path, gone):
    shard, judged = world.make_shard(tmp_path, [world.make_trajectory(0)])
    path = Path(shard if gone == "shard" else judged)
    path.unlink()
    with pytest.raises(ArtifactError, match=rf"{path.name} .*run the stage again"):
        load_kept([shard], [judged], world.LENGTH)

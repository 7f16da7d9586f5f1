"""Objectives in the trainer: those of the registry, and one that is a file and a line of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tad_core.config import LoraConfig, parse_config
from tad_core.config.objectives import OBJECTIVES, ObjectiveKind
from tad_core.data.problem import Problem
from tad_core.errors import ConfigError
from tad_core.report import plots, tables
from tad_core.report.lineup import Lineup
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import parse_spec

DRY = LoraConfig(rank=4, alpha=8, dropout=0.0)


def spec_of(world, checkpoint, folder, objective, **settings):
    tree = world.make_spec(folder, checkpoint, **settings).model_dump()
    tree["distill"]["objective"] = objective
    return parse_spec({**tree, "window": None})


def lines_of(spec):
    return read_losses(spec.adapters[0].output / "losses.jsonl")


def test_a_made_up_objective_is_a_file_and_a_line(world, checkpoint, tmp_path, monkeypatch):
    made_by = "tests.tad_core.objectives.made_up:MadeUp"
    kind = ObjectiveKind(made_by, "trajectories", windowed=False, told="Made up", inputs=3)
    monkeypatch.setitem(OBJECTIVES, "made-up", kind)
    spec = spec_of(world, checkpoint, tmp_path, "made-up", max_steps=3)
    assert train(spec, StopRequest())
    rows = lines_of(spec)
    batch = spec.distill.global_batch_size
    for row in rows:
        assert row["last_count"] == row["first_count"] == 3 * batch < row["told_count"]
        assert row["loss"] == pytest.approx(row["last"] + 0.5 * row["first"] + 0.25 * row["told"])
    assert rows[0]["told"] > 0
    tree = {
        "name": "x", "model": {"path": "none"}, "data": [{"name": "s", "source": "arithmetic"}],
        "models": {"odd": {"objective": "made-up", "label": "Odd"}},
        "evaluate": {"tasks": [{"name": "s", "source": "arithmetic"}]},
    }  # fmt: skip
    lineup = Lineup.of(parse_config(tree))
    found = tables.losses({"odd": rows}, lineup)
    assert found.columns == ["Model", "Steps", "Last loss", "First loss", "Told loss", "Total", "Seconds"]
    assert found.rows[0].cells[0].text == "Odd"
    assert plots.losses({"odd": rows}, lineup).startswith(b"\x89PNG")


#: those on kept answers, a further one too
ON_ANSWERS = [n for n, kind in OBJECTIVES.items() if kind.trains_on == "trajectories" and not kind.windowed]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("objective", ON_ANSWERS)
def test_objectives_on_kept_answers_learn_them(world, checkpoint, tmp_path, objective):
    settings = {"max_steps": 120, "learning_rate": 2e-2, "mask_block": 4, "mask_blocks": [3, 6], "lora": DRY}
    if objective == "t3d":  # as much of a path as of the rest
        settings["t3d"] = {"weight_path": 1.0}
    spec = spec_of(world, checkpoint, tmp_path, objective, **settings)
    assert train(spec, StopRequest())
    rows = lines_of(spec)
    means = [np.mean([row["loss"] for row in part]) for part in (rows[:5], rows[-5:])]
    assert means[1] < 0.8 * means[0]
    if objective == "dparallel":  # both inputs of every state together learn the block once
        assert all(row["masked_count"] == row["certainty_count"] for row in rows)
        assert all(row["masked_count"] == 4 * spec.distill.global_batch_size for row in rows)
        assert all(
            row["loss"] == pytest.approx(row["masked"] + 2 * row["certainty"], abs=1e-5) for row in rows
        )


def test_d3llm_learns_the_references_in_the_order_of_the_trajectories(world, checkpoint, tmp_path):
    problems = [Problem(f"toy/{i}", "toy", "math", "w5", "w7 w8 w9", "1") for i in range(6)]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(p.as_dict()) + "\n" for p in problems))
    own = spec_of(
        world, checkpoint, tmp_path / "own", "d3llm", max_steps=30, mask_blocks=[4], learning_rate=2e-2
    )
    tree = own.model_dump()
    tree["distill"]["labels"] = "reference"
    with pytest.raises(ConfigError, match=r"problems: missing; distill\.labels reference"):
        parse_spec(tree)
    spec = parse_spec({**tree, "problems": str(path), "output": str(tmp_path / "labelled")})
    assert train(own, StopRequest()) and train(spec, StopRequest())
    rows, others = lines_of(spec), lines_of(own)
    # The same states are drawn of the same orders; what is learned of them, the same of every trajectory, is learned.
    assert [row["masked_count"] for row in rows] == [row["masked_count"] for row in others]
    last, other = (np.mean([row["loss"] for row in found[-5:]]) for found in (rows, others))
    assert last < 0.5 * other


def test_micro_batches_of_two_inputs_a_state_add_up(world, checkpoint, tmp_path):
    settings = {"max_steps": 2, "global_batch_size": 4, "mask_block": 4, "lora": DRY}
    found = [
        lines_of(spec)
        for micro in (1, 4)
        if train(
            spec := spec_of(
                world, checkpoint, tmp_path / str(micro), "dparallel", micro_batch_size=micro, **settings
            ),
            StopRequest(),
        )
    ]
    for one, other in zip(*found, strict=True):
        assert one["masked_count"] == other["masked_count"]
        assert (one["loss"], one["grad_norm"]) == pytest.approx((other["loss"], other["grad_norm"]), rel=1e-3)


def test_a_teacher_without_the_reference_reads_what_the_student_reads(world, checkpoint, tmp_path):
    """With a fresh adapter it says exactly what the student says, and its loss is nothing."""
    tree = world.make_spec(tmp_path / "plain", checkpoint, max_steps=1).model_dump()
    tree["distill"]["lora"]["dropout"] = 0.0
    told = parse_spec({**tree, "output": str(tmp_path / "told")})
    tree["distill"]["teacher_prompt"] = "plain"
    plain = parse_spec(tree)
    assert train(plain, StopRequest()) and train(told, StopRequest())
    (row,), (other,) = lines_of(plain), lines_of(told)
    assert row["near"] == pytest.approx(other["near"]) and row["distant_count"] == other["distant_count"] > 0
    assert row["distant"] == pytest.approx(0, abs=1e-5) and other["distant"] > 1e-3

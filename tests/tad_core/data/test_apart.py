"""Questions of evaluation that are trained on are told; the rest is not talked about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tad_core.artifacts import Store
from tad_core.config import SourceConfig, parse_config
from tad_core.data.apart import also_trained_on, on_rows_for_training
from tad_core.data.sources import load_source
from tad_core.planning.survey import survey
from tad_core.stages.pipeline import prepare


def drawn(split: str, count: int) -> Any:
    options = {"min_steps": 1, "max_steps": 1}
    return load_source(SourceConfig(name="x", source="arithmetic", count=count, split=split, options=options))


def test_shared_questions_are_counted_by_task() -> None:
    train, heldout = drawn("train", 6), drawn("heldout", 4)
    assert also_trained_on(train, {"new": heldout}) == []
    moved = [replace(p, id=f"y/{i}", question=f" {p.question}\n") for i, p in enumerate(train[:2])]
    (told,) = also_trained_on(train, {"new": heldout, "mixed": [*heldout, *moved]})
    assert told.startswith("2 of 6 problems of the task mixed are in the training data, too")


def test_check_plan_and_run_say_it_before_any_work(tiny_tree: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"question": p.question, "answer": f"#### {p.answer}"} for p in drawn("train", 3)]
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    source = {"name": "own", "source": "jsonl", "options": {"path": str(file)}}
    config = parse_config(
        {**tiny_tree, "data": [source], "evaluate": {**tiny_tree["evaluate"], "tasks": [source]}}
    )
    told: list[str] = []
    prepare(config, Store(config.store), tell=told.append)
    assert told and told[0].startswith("3 of 3 problems of the task own")
    assert told[0] in survey(config, Store(config.store)).notes


def test_a_task_on_the_training_rows_of_a_public_data_set_is_told(tiny_tree: dict[str, Any]) -> None:
    """Where nothing is said the split is train, in evaluation as well; of files and generators it is what they hold."""

    def told(**fields: Any) -> list[str]:
        return on_rows_for_training([SourceConfig.model_validate({"name": "t", **fields})])

    (line,) = told(source="gsm8k")
    assert line.startswith("the task t is measured on split train") and "give split: heldout" in line
    assert told(source="gsm8k") == told(source="table", options={"hub": "a/b"})
    assert told(source="gsm8k", split="heldout") == told(source="arithmetic", count=4) == []
    assert (
        told(source="gsm8k", options={"path": "test.jsonl"})
        == told(source="math", options={"hub_split": "x"})
        == []
    )
    tiny_tree["evaluate"]["tasks"] = [{"name": "t", "source": "gsm8k"}]
    config = parse_config(tiny_tree)
    assert line in survey(config, Store(config.store)).notes

"""Questions of evaluation that are trained on are told; the rest is not talked about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tad_core.artifacts import Store
from tad_core.config import SourceConfig, parse_config
from tad_core.data.apart import also_trained_on
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

"""A problem file that the random checkpoint solves, and a small configuration over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RESPONSE = {"response_length": 16, "block_length": 8, "shard_size": 3, "batch_size": 4}
PROBLEMS = 9


@pytest.fixture(scope="session")
def solvable(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine problems whose answers are whatever the tiny checkpoint says of them.

    No answer is part of a prompt, so a first rollout with other answers says the same as every later one.
    """
    from tad_core.config import SourceConfig, parse_config
    from tad_core.data.sources import load_source
    from tad_core.models.loading import load_model, load_tokenizer
    from tad_core.stages.collect import collect_shard, plan_collection
    from tad_core.trajectory.shards import read_trajectories
    from tad_core.verify import extract_answer

    folder = tmp_path_factory.mktemp("solvable")
    file = folder / "problems.jsonl"
    drawn = load_source(
        SourceConfig(name="x", source="arithmetic", count=PROBLEMS, options={"min_steps": 1, "max_steps": 1})
    )
    rows = [{"question": p.question, "reference": p.reference, "answer": "0"} for p in drawn]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")

    config = parse_config(tree_over(file, tiny_checkpoint, folder / "store"))
    from tad_core.artifacts import Store

    plan, store = plan_collection(config), Store(folder / "store")
    loaded = load_model(config.model), load_tokenizer(config.model.path)
    for shard in plan.shards:
        ref = collect_shard(config, plan, shard.index, store, loaded=loaded)
        for trajectory in read_trajectories(ref.local(f"{shard.name}.parquet")):
            said = extract_answer(trajectory.text, config.filter.extract)
            rows[int(trajectory.problem_id.rpartition("/")[2]) - 1]["answer"] = said or "0"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return file


def tree_over(file: Path, checkpoint: Path, store: Path) -> dict[str, Any]:
    """One distilled model, one benchmark, one threshold: each process that starts costs seconds."""
    options = {"path": str(file), "question": "question", "reference": "reference", "answer": "answer"}
    source = {"name": "solvable", "source": "jsonl", "count": PROBLEMS, "options": options}
    return {
        "name": "tiny",
        "store": str(store),
        "model": {"path": str(checkpoint), "device": "cpu", "threads": 1},
        "data": [source],
        "rollout": {**RESPONSE, "min_kept": 1},
        "filter": {"workers": 1},
        "calibrate": {"states": 8, "quality_window": 4, "speed_window": 8},
        "distill": {
            "states_per_trajectory": 2,
            "max_steps": 1,
            "global_batch_size": 2,
            "micro_batch_size": 2,
            "learning_rate": 1.0e-3,
            "bf16": False,
            "lora": {"rank": 2, "alpha": 2, "dropout": 0.0},
        },
        "evaluate": {
            "tasks": [{**source, "count": 3}],
            "models": ["base", "quality"],
            "thresholds": [0.5],
            "decode": {"block_length": 8},
            "bootstrap": 10,
        },
    }


@pytest.fixture(scope="session")
def make_tree(solvable: Path, tiny_checkpoint: Path) -> Callable[[Path], dict[str, Any]]:
    """A configuration tree over the solvable problems with its own store."""
    return lambda store: tree_over(solvable, tiny_checkpoint, store)

"""A small run up to its windows, shared by tests of calibration and distillation, which add to its store alone."""

from __future__ import annotations

import pytest

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages.calibrate import calibrate
from tad_core.stages.collect import collect
from tad_core.trajectory.shards import read_trajectories, write_verdicts
from tad_core.workers.pool import Pool


@pytest.fixture(scope="session")
def config(tiny_checkpoint):
    """Enough problems that something is trained on."""
    return parse_config({
        "name": "tiny",
        "model": {"path": str(tiny_checkpoint), "device": "cpu", "threads": 1},
        "data": [{"name": "sums", "source": "arithmetic", "count": 4, "options": {"min_steps": 1, "max_steps": 2}}],
        "rollout": {"response_length": 48, "block_length": 16, "shard_size": 3, "compare_plain": 2},
        "calibrate": {"states": 12},
        "distill": {
            "states_per_trajectory": 4, "max_steps": 4, "log_steps": 1, "global_batch_size": 4,
            "micro_batch_size": 2, "learning_rate": 1e-3, "lora": {"rank": 2, "alpha": 2},
        },
        "evaluate": {"tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 3}],
                     "thresholds": [0.5], "decode": {"block_length": 16}},
    })  # fmt: skip


@pytest.fixture(scope="session")
def made(config, tmp_path_factory, warm_nursery):
    """A collection, and verdicts by which all but one trajectory passed (a random model is never right)."""
    store = Store(tmp_path_factory.mktemp("store"))
    with Pool(config.model, nursery=warm_nursery) as pool:
        collection = collect(config, store, pool=pool)
    with store.writer("filter", 1, "f" * 32, {}, [collection]) as writer:
        for shard in collection.manifest.info["shards"]:
            rows = read_trajectories(collection.local(f"{shard['name']}.parquet"))
            verdicts = [
                {
                    **{n: getattr(row, n) for n in ("problem_id", "source", "sample", "condition")},
                    "verdict": "different" if i == 1 else "passed", "reason": "", "extracted": "",
                }
                for i, row in enumerate(rows)
            ]  # fmt: skip
            name = f"{shard['name']}.verdicts.parquet"
            write_verdicts(writer.path(name, rows=len(rows)), verdicts)
        filtered = writer.commit({"kept": 3})
    return store, collection, filtered


@pytest.fixture(scope="session")
def windows(config, made):
    store, collection, filtered = made
    return calibrate(config, collection, filtered, store)

"""Memory that runs out in some forward of a collection: its batch is halved, and no sample is lost or double."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.rollout.engine import new_fitting
from tad_core.stages import collect as stage


def made(ref: Any) -> list[Any]:
    """What came of every sample; the confidences of samples that share a forward round otherwise."""
    return [(t.problem_id, t.sample, t.response_ids, t.revealed_at) for t in stage.iter_trajectories(ref)]


def collected(config: Any, store: Store, loaded: Any, fitting: Any) -> Any:
    plan = stage.plan_collection(config)
    refs = [
        stage.collect_shard(config, plan, shard.index, store, loaded=loaded, fitting=fitting)
        for shard in plan.shards
    ]
    return stage.finish_collection(config, plan, refs, store)


def test_a_collection_is_the_same_wherever_memory_ran_out(
    tiny_tree: dict[str, Any], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    tiny_tree["rollout"] |= {"batch_size": 8, "shard_size": 8}
    config = parse_config(tiny_tree)
    model, tokenizer = load_model(config.model), load_tokenizer(config.model)
    expected = made(collected(config, Store(tmp_path / "whole"), (model, tokenizer), new_fitting()))
    packed, said = type(model).packed, []
    failing: set[int] = set()
    forwards = itertools.count()

    def short(self: Any, *args: Any, **options: Any) -> Any:
        if next(forwards) in failing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return packed(self, *args, **options)

    monkeypatch.setattr(type(model), "packed", short)
    for first in range(0, 16, 5):
        forwards = itertools.count()
        failing = {first, first + 2}  # once more while its half is under way
        said.clear()
        fitting = new_fitting()
        monkeypatch.setattr(fitting, "_say", said.append)
        found = made(collected(config, Store(tmp_path / str(first)), (model, tokenizer), fitting))
        assert found == expected
        assert len(said) == 2 and fitting.of(8) == 2

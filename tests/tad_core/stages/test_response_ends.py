"""A teacher that answers right and ends its turn as LLaDA and Dream do: collected, judged, and kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.rollout.engine import RolloutResult
from tad_core.stages import collect as collect_stage
from tad_core.stages.filter import filter_all, read_summary

LENGTH = 96


@pytest.mark.parametrize("checkpoint", ["tiny_checkpoint", "tiny_dream_checkpoint"])
@pytest.mark.parametrize("turn_end", [True, False])
def test_right_answers_are_kept_however_they_end(
    checkpoint: str,
    turn_end: bool,
    tiny_tree: dict[str, Any],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_tree["model"]["path"] = str(request.getfixturevalue(checkpoint))
    tiny_tree["rollout"].update(response_length=LENGTH, block_length=16, shard_size=8)
    config = parse_config(tiny_tree)
    plan, store = collect_stage.plan_collection(config), Store(config.store)
    model, tokenizer = load_model(config.model), load_tokenizer(config.model)
    added = tokenizer.get_added_vocab()
    turn = added["<|im_end|>"] if "<|im_end|>" in added else added["<|eot_id|>"]

    def recite(_: Any, requests: Any, *rest: Any) -> list[RolloutResult]:
        results = []
        for asked in requests:
            said = tokenizer(plan.problems[asked.problem_id].reference, add_special_tokens=False)["input_ids"]
            ids = said + [turn] * turn_end
            ids += [tokenizer.eos_token_id] * (LENGTH - len(ids))
            steps = list(range(1, LENGTH + 1))
            results.append(RolloutResult(ids, steps, [0.5] * LENGTH, LENGTH + 1, LENGTH))
        return results

    monkeypatch.setattr("tad_core.rollout.engine.rollout", recite)
    shards = [
        collect_stage.collect_shard(config, plan, s.index, store, loaded=(model, tokenizer))
        for s in plan.shards
    ]
    collection = collect_stage.finish_collection(config, plan, shards, store)
    for row in collect_stage.iter_trajectories(collection):
        assert "<|" not in row.text
    summary = read_summary(filter_all(config, plan, collection, store))
    assert (summary["kept"], summary["rows"]) == (8, 8), json.dumps(summary["by_source"])

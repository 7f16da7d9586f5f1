"""A teacher that answers right and ends its turn as LLaDA and Dream do: collected, judged, and kept."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.rollout.engine import RolloutResult
from tad_core.stages import collect as collect_stage
from tad_core.stages.filter import filter_all, read_summary
from tad_core.stages.judging import _texts

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


class Letters:
    """A tokenizer of single letters, which can spell any token."""

    eos_token_id = 1000

    def get_added_vocab(self) -> dict[str, int]:
        return {"<|endoftext|>": 1000, "<|eot_id|>": 1001}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return "".join(map(chr, (i for i in ids if i < 1000)))


def test_an_end_that_an_answer_only_spells_ends_nothing(
    tiny_tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may speak of such a token. The text of a collection of version 0.1 goes on behind the real one."""
    monkeypatch.setattr("tad_core.checkpoint.load_tokenizer", lambda model: Letters())
    spelled = "s = '<|endoftext|>'"
    rows = [
        SimpleNamespace(text=spelled, response_ids=list(map(ord, spelled))),
        SimpleNamespace(text="12<|eot_id|>13", response_ids=[*map(ord, "12"), 1001, *map(ord, "13")]),
        SimpleNamespace(text="14", response_ids=[*map(ord, "14"), 1000]),
    ]
    assert _texts(parse_config(tiny_tree), rows) == [spelled, "12", "14"]  # type: ignore[arg-type]

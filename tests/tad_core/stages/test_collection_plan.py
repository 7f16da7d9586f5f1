"""The plan of a collection: over-long prompts, what is left out, and shards that are there in another cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.artifacts import Store
from tad_core.config import TADConfig, parse_config
from tad_core.data.problem import Problem
from tad_core.errors import ConfigError, DataError
from tad_core.stages import collect as stage
from tad_core.stages import collection_plan as planning
from tad_core.stages.collection_plan import CollectionPlan, fit_to_store, plan_collection

BOUNDS = st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def config_of(tree: dict[str, Any], **rollout: Any) -> TADConfig:
    return parse_config({**tree, "rollout": {**tree["rollout"], **rollout}})


def names(plan: CollectionPlan) -> list[str]:
    return [shard.name for shard in plan.shards]


# --- what is left out ------------------------------------------------------------------------------


def write_rows(path: Path, words: list[int]) -> None:
    """A question each, with so many words in its reference."""
    rows = [{"question": f"What is {i}?", "answer": "book " * n + f"#### {i}"} for i, n in enumerate(words)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_over_long_prompts_are_left_out_before_any_work(tiny_tree: dict[str, Any], tmp_path: Path) -> None:
    """512 positions, 16 of the response: the template and 400 words fit, with 490 they do not."""
    write_rows(tmp_path / "rows.jsonl", [5, 490, 400, 600])
    tiny_tree["data"] = [
        {"name": "own", "source": "table", "min_count": 2, "options": {"path": str(tmp_path / "rows.jsonl")}}
    ]
    plan = plan_collection(parse_config(tiny_tree))
    assert [p.id for p in plan.ordered] == ["own/train/1", "own/train/3"]
    assert plan.left_out == {"own": {"over-long prompt": 2}}
    assert plan.left_out_examples == {"own": {"over-long prompt": ["own/train/2", "own/train/4"]}}
    shorter = plan_collection(config_of(tiny_tree, max_prompt_tokens=495))
    # The same problems, and the limit is no part of the result.
    assert shorter.fingerprint == plan.fingerprint
    tiny_tree["data"][0]["min_count"] = None
    with pytest.raises(
        DataError, match=r"2 of 4 rows can be used and at least 4 .* over-long prompt 2 \(own/train/2,"
    ):
        plan_collection(parse_config(tiny_tree))


def test_generators_are_checked_too(tiny_tree: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"data source sums: 0 of 5 rows .* over-long prompt 5"):
        plan_collection(config_of(tiny_tree, max_prompt_tokens=20))


def test_a_response_that_fills_the_model_is_refused(tiny_tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="512 leaves no room for a prompt in the model's 512 positions"):
        plan_collection(config_of(tiny_tree, response_length=512))


def test_rows_left_out_are_told_in_the_manifest(tiny_tree: dict[str, Any], tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [5, 6])
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("no json\n")
    options = {"path": str(tmp_path / "rows.jsonl")}
    tiny_tree["data"] = [{"name": "own", "source": "table", "min_count": 1, "options": options}]
    ref = collect_here(parse_config(tiny_tree))
    assert ref.manifest.info["left_out"] == {"own": {"not JSON": 1}}
    assert ref.manifest.info["left_out_examples"] == {"own": {"not JSON": ["rows.jsonl:3"]}}


def test_a_plan_is_made_once_until_its_files_change(
    tiny_tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tad_core.data import sources

    made: list[int] = []
    load_all = sources.load_all
    monkeypatch.setattr(sources, "load_all", lambda *rest: made.append(1) or load_all(*rest))
    write_rows(tmp_path / "rows.jsonl", [5])
    tiny_tree["data"] = [
        {"name": "own", "source": "jsonl", "options": {"path": str(tmp_path / "rows.jsonl")}}
    ]
    first = plan_collection(parse_config(tiny_tree))
    assert plan_collection(parse_config(tiny_tree)) is first and len(made) == 1
    write_rows(tmp_path / "rows.jsonl", [5, 6])
    assert len(plan_collection(parse_config(tiny_tree)).ordered) == 2 and len(made) == 2


# --- shards in another cut --------------------------------------------------------------------------


def pieces(plan: CollectionPlan) -> list[tuple[int, int]]:
    return [(shard.start, shard.stop) for shard in plan.shards]


class Shelf:
    """Stands in for a store: the shards that are there, and whether they verify."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.there: dict[tuple[int, int], bool] = {}

    def manifests(self, *_: str) -> set[str]:
        return {f"privileged-{a:05d}-{b:05d}.json" for a, b in self.there} | {"manifest.json", "other.json"}

    def url(self, *_: str) -> str:
        return "/nonexistent"

    def at_a_glance(self, *_: object) -> Shelf:
        return self

    def find(self, _: str, __: str, inputs: Any = (), manifest_name: str = "") -> bool | None:
        _, start, stop = manifest_name.removesuffix(".json").split("-")
        return self.there[int(start), int(stop)] or None


def plan_of_size(count: int, size: int) -> CollectionPlan:
    problems = [Problem(str(i), "s", "math", "q", "r", answer="1") for i in range(count)]
    return CollectionPlan("f" * 32, problems, [], [], shard_size=size)


@given(
    count=st.integers(1, 45),
    size=st.integers(1, 12),
    there=st.dictionaries(BOUNDS, st.booleans(), max_size=8),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=120, deadline=None)
def test_any_shards_that_are_there(
    count: int, size: int, there: dict[tuple[int, int], bool], order: Any
) -> None:
    """Every problem once; whole shards used, broken ones not; and the same cut at every later look."""
    shelf = Shelf()
    shelf.there.update(there)
    plan = fit_to_store(plan_of_size(count, size), shelf)  # type: ignore[arg-type]
    cut = pieces(plan)
    assert [i for start, stop in cut for i in range(start, stop)] == list(range(count))
    assert [shard.index for shard in plan.shards] == list(range(len(cut)))
    usable = [(a, b) for (a, b), whole in there.items() if whole and b <= count]
    for start, stop in cut:
        assert (start, stop) in usable or stop - start <= size
    # A usable shard is passed over only where another one, that is used, overlaps it.
    for start, stop in usable:
        assert (start, stop) in cut or any(a < stop and start < b for a, b in cut if (a, b) in usable)
    todo = [piece for piece in cut if piece not in usable]
    order.shuffle(todo)
    for piece in todo:  # one after the other is finished, by whoever
        shelf.there[piece] = True
        assert pieces(fit_to_store(plan_of_size(count, size), shelf)) == cut  # type: ignore[arg-type]


def test_without_other_sizes_no_file_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    shelf.there = {(0, 4): True, (8, 10): False}
    monkeypatch.setattr(shelf, "find", None)
    plan = fit_to_store(plan_of_size(10, 4), shelf)  # type: ignore[arg-type]
    assert pieces(plan) == [(0, 4), (4, 8), (8, 10)]


def collect_here(config: TADConfig, only: list[int] | None = None) -> Any:
    """Collect in this process; ``only`` some shards of the plan, as if interrupted."""
    from tad_core.models.loading import load_model, load_tokenizer

    store = Store(config.store)
    plan = plan_collection(config, store)
    loaded = (load_model(config.model), load_tokenizer(config.model))
    wanted = plan.shards if only is None else [plan.shards[i] for i in only]
    refs = [stage.collect_shard(config, plan, shard, store, loaded=loaded) for shard in wanted]
    return stage.finish_collection(config, plan, refs, store) if only is None else refs


def test_another_shard_size_goes_on_with_the_shards_that_are_there(
    tiny_tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight problems: the first and the last three-problem shard are there, then the size becomes four."""
    tiny_tree["rollout"]["compare_plain"] = 3
    undisturbed = collect_here(parse_config({**tiny_tree, "store": str(tmp_path / "undisturbed")}))
    before = collect_here(config_of(tiny_tree, shard_size=3), only=[0, 2, 3])
    config = config_of(tiny_tree, shard_size=4)
    plan = plan_collection(config, Store(config.store))
    assert names(plan) == [
        "privileged-00000-00003", "privileged-00003-00004", "privileged-00004-00006", "privileged-00006-00008",
        "plain-00000-00003",
    ]  # fmt: skip
    decoded: list[str] = []
    original = stage.roll_out
    monkeypatch.setattr(
        stage,
        "roll_out",
        lambda c, p, shard, *rest: decoded.append(shard.name) or original(c, p, shard, *rest),
    )
    ref = collect_here(config)
    assert decoded == ["privileged-00003-00004", "privileged-00004-00006"]
    assert list(stage.iter_trajectories(ref)) == list(stage.iter_trajectories(undisturbed))
    assert {r.manifest_name: r.digest for r in before}.items() <= {
        f"{s.name}.json": r.digest
        for s in plan.shards
        if (r := stage.find_shard(plan, s, Store(config.store)))
    }.items()
    # Finished, it stays as it is cut, whatever the size; a damaged shard of it is made again alone.
    for size in (1, 3, 8):
        again = plan_collection(config_of(tiny_tree, shard_size=size), Store(config.store))
        assert names(again) == names(plan) and stage.find_collection(again, Store(config.store)) is not None
    ref.local("privileged-00004-00006.parquet").unlink()
    decoded.clear()
    mended = collect_here(config_of(tiny_tree, shard_size=8))
    assert decoded == ["privileged-00004-00006"] and mended.digest == ref.digest


def test_comparing_more_problems_cuts_only_those_anew(tiny_tree: dict[str, Any]) -> None:
    tiny_tree["rollout"]["compare_plain"] = 2
    collect_here(config_of(tiny_tree, shard_size=8))
    config = config_of(tiny_tree, shard_size=2, compare_plain=4)
    assert names(plan_collection(config, Store(config.store))) == [
        "privileged-00000-00008", "plain-00000-00002", "plain-00002-00004",
    ]  # fmt: skip


@pytest.mark.usefixtures("forked_decoders")
def test_collect_takes_up_shards_of_another_size(tiny_tree: dict[str, Any]) -> None:
    collect_here(config_of(tiny_tree, shard_size=5), only=[0])
    config = config_of(tiny_tree, shard_size=8)
    ref = stage.collect(config, Store(config.store))
    assert [s["name"] for s in ref.manifest.info["shards"]] == [
        "privileged-00000-00005",
        "privileged-00005-00008",
    ]
    assert len(list(stage.iter_trajectories(ref))) == 8
    assert (
        planning.find_collection(plan_collection(config, Store(config.store)), Store(config.store))
        is not None
    )

"""What the page of settings says of every field, held against the keys that the stages make."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from tad_core.artifacts import ArtifactRef, InputEntry, Store, components
from tad_core.artifacts.components import VERSIONS, Component
from tad_core.config import TADConfig, parse_config
from tad_core.config.marks import FIRST_STAGE, leaves
from tad_core.config.objectives import OBJECTIVES
from tad_core.config.terms import D2FConfig, T3DConfig
from tad_core.stages import calibrate, collect, collection_plan, distill, evaluate, report
from tad_core.stages import filter as filter_stage
from tad_core.stages.made import RunMade

STAGES = ("collect", "filter", "calibrate", "distill", "evaluate", "report")
#: what a change of a field makes new, by what the page says of it
AGAIN = {
    "nothing": set(),
    "collect and all after it": set(STAGES),
    "filter and all after it": set(STAGES[1:]),
    "calibrate; and what follows where a window changes": {"calibrate", "report"},
    "distil and all after it": {"distill", "evaluate", "report"},
    "evaluate and report": {"evaluate", "report"},
    "report": {"report"},
}

#: another value of every field; of a list the item that is changed
OTHER: dict[str, Any] = {
    "name": "other",
    "store": "elsewhere",
    "model.device": "auto",
    "model.dtype": "bfloat16",
    "model.threads": 2,
    "data.0.name": "additions",
    "data.0.count": 4,
    "data.0.split": "heldout",
    "data.0.seed": 1,
    "data.0.min_count": 1,
    "data.0.max_unknown": 0.5,
    "data.0.options": {"min_steps": 2, "max_steps": 2},
    "rollout.seed": 1,
    "rollout.samples": 2,
    "rollout.response_length": 24,
    "rollout.block_length": 4,
    "rollout.temperature_math": 0.5,
    "rollout.temperature_code": 0.5,
    "rollout.finish_early": False,
    "rollout.cache.mode": "dual",
    "rollout.cache.refresh_blocks": False,
    "rollout.cache.refresh_forwards": 4,
    "rollout.cache.refresh_reveals": 4,
    "rollout.cache.refresh_settle": 2,
    "rollout.compare_plain": 1,
    "rollout.shard_size": 2,
    "rollout.batch_size": 1,
    "rollout.workers": 2,
    "rollout.hosts": 2,
    "rollout.decode_here": False,
    "rollout.worker_deployment": "other/worker",
    "rollout.lease_s": 5.0,
    "rollout.shard_timeout_s": 60.0,
    "rollout.max_prompt_tokens": 400,
    "rollout.min_kept": 2,
    "filter.workers": 3,
    "filter.retries": 1,
    "filter.extract": ["boxed"],
    "filter.extract_by_source": {"sums": ["boxed"]},
    "filter.math_timeout_s": 6.0,
    "filter.math_memory_mb": 4096,
    "filter.code_timeout_s": 11.0,
    "filter.memory_mb": 2048,
    "filter.output_kb": 128,
    "filter.own_classes": "refuse",
    "filter.sandbox": "tier2",
    "calibrate.states": 9,
    "calibrate.seed": 1,
    "calibrate.quality_threshold": 0.6,
    "calibrate.speed_threshold": 0.3,
    "calibrate.quality_cap": 9,
    "calibrate.speed_cap": 21,
    "calibrate.smoothing": 1,
    "calibrate.batch_size": 1,
    "distill.near": "soft",
    "distill.distant": "hard",
    "distill.weight_distant": 0.3,
    "distill.temperature": 2.0,
    "distill.soften_near": 0.5,
    "distill.emphasis": 1.0,
    "distill.follow.steps": 10,
    "distill.follow.threshold": 0.4,
    "distill.follow.smoothing": 1,
    "distill.follow.most": 9,
    "distill.teacher_prompt": "system",
    "distill.trajectories": "plain",
    "distill.answers": "any",
    "distill.states_per_trajectory": 5,
    "distill.filled_states": "skip",
    "distill.epochs": 2.0,
    "distill.max_steps": 3,
    "distill.learning_rate": 1e-4,
    "distill.schedule": "cosine",
    "distill.warmup_steps": 1,
    "distill.weight_decay": 0.1,
    "distill.max_grad_norm": 2.0,
    "distill.global_batch_size": 8,
    "distill.micro_batch_size": 1,
    "distill.seed": 1,
    "distill.lora.rank": 3,
    "distill.lora.alpha": 3,
    "distill.lora.dropout": 0.1,
    "distill.lora.roles": ["q"],
    "distill.bf16": False,
    "distill.quantize": "nf4",
    "distill.gradient_checkpointing": True,
    "distill.save_steps": 1,
    "distill.log_steps": 1,
    "distill.compile": "off",
    "distill.processes": 2,
    "distill.nodes": 2,
    "distill.rendezvous": "host:1",
    "distill.launcher": "torchrun",
    "distill.hostfile": "hosts",
    "distill.report_to": ["tensorboard"],
    "distill.timeout_s": 9.0,
    "evaluate.tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 4}],
    "evaluate.models": ["base", "quality"],
    "evaluate.thresholds": [0.5, 0.6],
    "evaluate.decode.method": "confidence",
    "evaluate.decode.block_length": 4,
    "evaluate.decode.block_add_threshold": 0.2,
    "evaluate.decode.early_stop": False,
    "evaluate.decode.mask_in_entropy": False,
    "evaluate.decode.cache.mode": "dual",
    "evaluate.decode.cache.refresh_blocks": False,
    "evaluate.decode.cache.refresh_forwards": 4,
    "evaluate.decode.cache.refresh_reveals": 4,
    "evaluate.decode.cache.refresh_settle": 2,
    "evaluate.aup_alpha": 2.0,
    "evaluate.bootstrap": 30,
    "evaluate.batch_size": 1,
    "evaluate.slice_size": 3,
    "evaluate.workers": 1,
    "evaluate.harness": "direct",
}
#: settled by tests of their own: what they name is hashed by its content, or they cannot be changed alone
ELSEWHERE = {
    "model.path",
    "model.revision",
    "data.0.source",
    "data.0.sample",
    "calibrate.quality_window",
    "calibrate.speed_window",
    "distill.objective",
    "distill.mask_block",
    "distill.mask_blocks",
    "distill.mask_ratio",
    "distill.labels",
    "distill.complement_certainty",
    "distill.weight_certainty",
    *(f"distill.d2f.{field}" for field in D2FConfig.model_fields),
    *(f"distill.t3d.{field}" for field in T3DConfig.model_fields),
    *(
        f"models.{field}"
        for field in ("objective", "window", "settings", "round", "decode", "label", "colour")
    ),
    "distill.deepspeed",
    "evaluate.operating_threshold",
    "evaluate.pipeline.thresholds",
    "evaluate.pipeline.activation_threshold",
}


class Ref(NamedTuple):
    """What keys read of an artifact."""

    fingerprint: str
    digest: str = "d" * 32

    def as_input(self) -> InputEntry:
        return InputEntry(stage="any", fingerprint=self.fingerprint, digest=self.digest)


def keys(config: TADConfig) -> dict[str, list[str]]:
    """Every key of a run whose windows are fixed, by stage."""
    plan = collect.plan_collection(config)
    collected, kept = _ref(plan.fingerprint), _ref(filter_stage.key(config, plan))
    windows = _ref(calibrate.key(config, collected, kept))
    modes = ("quality", "speed", "sft")
    adapters = {m: _ref(distill.key(config, m, collected, kept, None)) for m in modes}
    points = {"base": _ref(evaluate.key(config, "base"))}
    points |= {m: _ref(evaluate.key(config, m, adapters[m])) for m in modes}
    page = report.key(config, RunMade(collected, kept, windows, adapters, points))
    return {
        "collect": [plan.fingerprint],
        "filter": [kept.fingerprint],
        "calibrate": [windows.fingerprint],
        # References are judged and rolled out by nobody, and have no distillation loss.
        "distill": [adapters[m].fingerprint for m in ("quality", "speed")],
        "evaluate": [points[m].fingerprint for m in ("quality", "speed")],
        "report": [page],
        "sft": [adapters["sft"].fingerprint],
        "base": [points["base"].fingerprint],
    }


def _ref(fingerprint: str) -> ArtifactRef:
    return cast(ArtifactRef, Ref(fingerprint))


def new(before: dict[str, list[str]], after: dict[str, list[str]]) -> set[str]:
    """The stages all of whose keys are new; of each either all are, or none."""
    out = set()
    for stage in STAGES:
        differ = {a != b for a, b in zip(before[stage], after[stage], strict=True)}
        assert len(differ) == 1, f"{stage}: one key is new and one is not"
        out |= {stage} if differ.pop() else set()
    return out


def put(tree: dict[str, Any], path: str, value: Any) -> TADConfig:
    """The configuration with one field changed."""
    node: Any = tree
    *parents, leaf = path.split(".")
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[leaf] = value
    return parse_config(tree)


def fields() -> Iterator[tuple[str, str]]:
    """Path and what a change recomputes, of every field there is."""
    for path, again in leaves():
        section, _, rest = path.partition(".")
        yield (f"data.0.{rest}" if section == "data" else path), again


@pytest.fixture
def before(tiny_tree: dict[str, Any]) -> dict[str, list[str]]:
    return keys(parse_config(tiny_tree))


def test_every_field_is_looked_at() -> None:
    paths = [path for path, _ in fields()]
    assert set(paths) == OTHER.keys() | ELSEWHERE, "a field is new or gone: give another value of it here"
    assert len(paths) == len(set(paths)) and {p.split(".")[0] for p in paths} == FIRST_STAGE.keys()


def test_a_change_makes_new_what_the_page_says(
    tiny_tree: dict[str, Any], before: dict[str, list[str]]
) -> None:
    wrong = {}
    for path, again in fields():
        if path in ELSEWHERE:
            continue
        found = new(before, keys(put(copy.deepcopy(tiny_tree), path, OTHER[path])))
        # In tiny_tree nothing is dropped out and no problem is too long, so that what is keyed apart is nothing, too.
        said = AGAIN["nothing" if again.startswith("nothing") else again]
        if found != said:
            wrong[path] = f"the page says {again!r}, and new is {sorted(found) or 'nothing'}"
    assert not wrong, wrong


def test_a_model_elsewhere_is_the_same_model(
    tiny_tree: dict[str, Any], before: dict[str, list[str]], tmp_path: Path
) -> None:
    """The report prints where it was; nothing else is made again. Other files are another model."""
    moved = tmp_path / "moved"
    shutil.copytree(tiny_tree["model"]["path"], moved)
    config = put(tiny_tree, "model.path", str(moved))
    assert new(before, keys(config)) == {"report"}
    settings = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**settings, "rope_theta": 5_000.0}))
    assert new(before, keys(config)) == set(STAGES)


def test_a_fixed_window_makes_new_what_its_value_says(
    tiny_tree: dict[str, Any], before: dict[str, list[str]]
) -> None:
    config = put(
        put(tiny_tree, "calibrate.quality_window", 5).model_dump(mode="json"), "calibrate.speed_window", 9
    )
    assert new(before, keys(config)) == {"calibrate", "distill", "evaluate", "report"}


def test_which_problems_are_taken_counts_and_not_how_they_were_chosen(tiny_tree: dict[str, Any]) -> None:
    path = Path(tiny_tree["store"]).parent / "rows.jsonl"
    rows = [{"question": f"{i} + 1?", "reference": f"#### {i + 1}", "answer": str(i + 1)} for i in range(9)]
    path.write_text(
        "".join(json.dumps({**row, "id": f"r/{i}", "kind": "math"}) + "\n" for i, row in enumerate(rows))
    )
    source = {"name": "rows", "source": "jsonl", "count": 9, "options": {"path": str(path)}}
    tree = {**tiny_tree, "data": [source]}
    all_of_them = keys(parse_config(tree))

    def changed(**fields: Any) -> dict[str, list[str]]:
        return keys(parse_config({**tree, "data": [{**source, **fields}]}))

    assert new(all_of_them, changed(min_count=1)) == set()
    assert new(changed(count=5), changed(count=5, sample="random", seed=3)) == set(STAGES)
    moved = path.rename(path.with_name("moved.jsonl"))
    assert new(all_of_them, changed(options={"path": str(moved)})) == {"report"}


#: keys that version 1 gave to the adapters of the configuration below, with this micro-batch and teacher's prompt
FINISHED = {
    ("quality", 4, "rollout"): "e7ca99778fc1596cb2b484ce7c24ca23",
    ("speed", 4, "rollout"): "fe799af808e2bef345e9337ac925b71a",
    ("quality", 16, "rollout"): "5d9fe7d516043b6deedaf9d026e7f438",
    ("speed", 16, "rollout"): "ffe9d72b2627abe1fd379f093b9d42a5",
    ("quality", 4, "system"): "76db2cfd6a4f29f1e03ec176570e033f",
    ("speed", 16, "system"): "05f1ebcdb903f74d42eed650253a11a0",
}


@pytest.mark.parametrize("micro", [1, 4, 8])
@pytest.mark.parametrize("finished", FINISHED)
def test_adapters_of_version_1_are_found_by_the_keys_they_were_given(
    tmp_path: Path, micro: int, finished: tuple[str, int, str]
) -> None:
    mode, _, teacher_prompt = finished
    config = parse_config({
        "name": "old", "model": {"path": "assets/tiny-llada"},
        "data": [{"name": "sums", "source": "arithmetic", "count": 4}],
        "rollout": {"response_length": 64, "block_length": 16},
        "calibrate": {"quality_window": 4, "speed_window": 8},
        "distill": {"states_per_trajectory": 8, "global_batch_size": 16, "micro_batch_size": micro,
                    "teacher_prompt": teacher_prompt},
        "evaluate": {"tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 3}],
                     "decode": {"block_length": 16}},
    })  # fmt: skip
    inputs = [cast(ArtifactRef, Ref(letter * 32)) for letter in "ab"]
    store = Store(str(tmp_path))
    with store.writer("distill", 1, FINISHED[finished], {}, inputs) as writer:
        writer.write_text("adapter/adapter_config.json", "{}")
        writer.commit({})
    assert distill.key_in(store, config, mode, *inputs, None) == FINISHED[finished]
    assert distill.key_in(Store(str(tmp_path / "no")), config, mode, *inputs, None) == distill.key(
        config, mode, *inputs, None
    )


#: what a new version of a component makes new, by hand
BY_COMPONENT: dict[Component, set[str]] = {
    "prompts": {*STAGES, "sft", "base"},
    "rollout": {*STAGES, "sft"},
    "tables": {*STAGES, "sft"},
    "responses": {*STAGES[1:], "base"},
    "verifier": {*STAGES[1:], "base"},
    "programs": {"evaluate", "report", "base"},
    "references": {"sft", "report"},
    "decoder": {"evaluate", "report", "base"},
    "records": {"evaluate", "report", "base"},
    "scores": {"report"},
}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_new_version_of_a_component_makes_new_what_depends_on_it(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch, name: Component
) -> None:
    before = keys(tiny_config)
    monkeypatch.setitem(components.VERSIONS, name, VERSIONS[name] + 1)
    collection_plan._plan.cache_clear()  # its key is worked out once a process
    after = keys(tiny_config)
    found = new(before, after) | {one for one in ("sft", "base") if before[one] != after[one]}
    collection_plan._plan.cache_clear()
    assert found == BY_COMPONENT[name]


def test_a_new_version_of_an_objective_makes_its_own_adapters_new(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(tiny_config)
    for name, changed in (
        ("tad", {"distill", "evaluate", "report"}),
        ("sft", {"sft", "report"}),
        ("d3llm", set()),
    ):
        kind = OBJECTIVES[name]
        with monkeypatch.context() as patch:
            patch.setitem(OBJECTIVES, name, replace(kind, version=kind.version + 1))
            after = keys(tiny_config)
        assert new(before, after) | ({"sft"} if before["sft"] != after["sft"] else set()) == changed, name

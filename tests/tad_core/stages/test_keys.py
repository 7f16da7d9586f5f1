"""What the page of settings says of every field, held against the keys that the stages make."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import pytest

from tad_core.artifacts import ArtifactRef, components
from tad_core.artifacts.components import VERSIONS, Component
from tad_core.config import TADConfig, parse_config
from tad_core.config.marks import FIRST_STAGE, leaves
from tad_core.stages import calibrate, collect, collection_plan, distill, evaluate, report
from tad_core.stages import filter as filter_stage

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
    "data.0.options": {"min_steps": 2, "max_steps": 2},
    "rollout.seed": 1,
    "rollout.samples": 2,
    "rollout.response_length": 24,
    "rollout.block_length": 4,
    "rollout.temperature_math": 0.5,
    "rollout.temperature_code": 0.5,
    "rollout.finish_early": False,
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
    "distill.teacher_prompt": "system",
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
    "distill.gradient_checkpointing": True,
    "distill.save_steps": 1,
    "distill.log_steps": 1,
    "distill.compile": True,
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
    "evaluate.decode.block_length": 4,
    "evaluate.decode.block_add_threshold": 0.2,
    "evaluate.decode.early_stop": False,
    "evaluate.decode.mask_in_entropy": False,
    "evaluate.aup_alpha": 2.0,
    "evaluate.bootstrap": 30,
    "evaluate.batch_size": 1,
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
    "distill.deepspeed",
    "evaluate.operating_threshold",
}


class Ref(NamedTuple):
    """What keys read of an artifact."""

    fingerprint: str


def keys(config: TADConfig) -> dict[str, list[str]]:
    """Every key of a run whose windows are fixed, by stage."""
    plan = collect.plan_collection(config)
    collected, kept = _ref(plan.fingerprint), _ref(filter_stage.key(config, plan))
    windows = _ref(calibrate.key(config, collected, kept))
    modes = ("quality", "speed", "sft")
    adapters = {m: _ref(distill.key(config, m, collected, kept, None)) for m in modes}
    points = {"base": _ref(evaluate.key(config, "base"))}
    points |= {m: _ref(evaluate.key(config, m, adapters[m])) for m in modes}
    page = report.key(config, collected, kept, windows, adapters, points)
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


#: what a new version of a component makes new, by hand
BY_COMPONENT: dict[Component, set[str]] = {
    "prompts": {*STAGES, "sft", "base"},
    "rollout": {*STAGES, "sft"},
    "tables": {*STAGES, "sft"},
    "responses": {*STAGES[1:], "base"},
    "verifier": {*STAGES[1:], "base"},
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

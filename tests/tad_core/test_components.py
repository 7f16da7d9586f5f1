"""A component's output changes only with its version, and its version makes every key that depends on it new."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tad_core.artifacts import components
from tad_core.artifacts.components import USED, VERSIONS, component_fields
from tad_core.config.objectives import OBJECTIVES
from tad_core.decoding.noise import gumbel, hashed, step_key
from tests.tad_core.golden.outputs import OUTPUTS, STORED, current, renewed

HOW = "python -m tests.tad_core.golden.outputs"


@pytest.mark.determinism
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_changes_with_its_version_alone(name: str) -> None:
    stored: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))[name]
    now = current(name)
    assert now["version"] == stored["version"], (
        f"{name} has a new version: write its outputs anew with `{HOW}`"
    )
    assert now["output"] == stored["output"], (
        f"{name} gives other output than its version {now['version']} gave. If that is meant, raise VERSIONS[{name!r}] "
        "in tad_core/artifacts/components.py, or the objective's version in tad_core/config/objectives.py, so that "
        f"nothing finished is taken for the new one, and run `{HOW}`"
    )


#: component, a part of it, and what it would be after a small slip
SLIPS: list[tuple[str, str, Any]] = [
    ("prompts", "tad_core.data.prompts.MATH_TAIL", "Put your final answer within \\boxed{}."),
    ("prompts", "tad_core.data.prompts.PRIVILEGED_CODE_TAIL", "Now write it yourself:"),
    ("rollout", "tad_core.decoding.slots.step_key", lambda seed, *rest: step_key(0, *rest)),
    ("rollout", "tad_core.decoding.slots.step_key", lambda *rest: step_key(*rest[:2], 0, rest[3])),
    ("rollout", "tad_core.decoding.slots.step_key", lambda *rest: step_key(*rest[:3], 1)),
    ("rollout", "tad_core.decoding.sampling.hashed", lambda low, high, at, vocab: hashed(low, high, 0 * at, vocab)),
    ("rollout", "tad_core.decoding.sampling.gumbel", lambda *rest: 0.5 * gumbel(*rest)),
    ("decoder", "tad_core.decoding.policies.entropy.reveals_needed", lambda progress, length: length),
    ("decoder", "tad_core.decoding.policies.entropy.entropy", lambda logits_NV: -logits_NV.amax(-1)),
    ("objective d3llm", "tad_core.objectives.d3llm.D3LLMObjective.block_at", lambda self, progress: 16),
    ("objective dparallel", "tad_core.objectives.dparallel.TEMPERATURE", 1.0),
    ("objective t3d", "tad_core.objectives.t3d.path_weights", lambda rank, chosen, steps: chosen.astype("float32")),
    ("objective sft", "tad_core.objectives.sft.MIN_RATE", 0.1),
    ("objective tad", "tad_core.objectives.tad.sample_steps", lambda name, length, count: np.arange(count)),
    ("objective d2f", "tad_core.objectives.d2f.D2FObjective.rates", lambda self, noise_BK: noise_BK),
]  # fmt: skip


@pytest.mark.parametrize(("name", "part", "slip"), SLIPS)
def test_the_fixed_input_shows_a_small_slip(
    monkeypatch: pytest.MonkeyPatch, name: str, part: str, slip: Any
) -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))[name]
    monkeypatch.setattr(part, slip)
    assert current(name)["output"] != stored["output"]


def test_another_output_is_not_stored_under_the_same_version() -> None:
    stored = {"decoder": {"version": 2, "output": [1]}, "prompts": {"version": 1, "output": "a"}}
    same = {"decoder": {"version": 2, "output": [2]}, "prompts": {"version": 1, "output": "a"}}
    with pytest.raises(SystemExit, match=r"decoder: another output under version 2.*raise it in VERSIONS"):
        renewed(stored, same)
    lower = {"decoder": {"version": 1, "output": [2]}, "prompts": {"version": 1, "output": "a"}}
    with pytest.raises(SystemExit, match="decoder"):
        renewed(stored, lower)
    higher = {"decoder": {"version": 3, "output": [2]}, "prompts": {"version": 1, "output": "a"}}
    assert renewed(stored, higher) == higher
    assert renewed(stored, same, ["decoder"]) == same
    assert renewed(stored, stored) == stored
    assert renewed({}, same) == same


def test_every_component_has_an_output_and_a_stage() -> None:
    assert VERSIONS.keys() == {name for used in USED.values() for name in used}
    assert OUTPUTS.keys() == VERSIONS.keys() | {f"objective {name}" for name in OBJECTIVES}


def test_version_one_enters_nothing_and_a_higher_one_its_own_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "VERSIONS", dict.fromkeys(VERSIONS, 1))
    assert {stage: component_fields(stage) for stage in USED} == {stage: {} for stage in USED}
    monkeypatch.setitem(components.VERSIONS, "decoder", 7)
    assert component_fields("evaluate") == {"components": {"decoder": 7}}
    assert component_fields("decode") == component_fields("measure") == {"components": {"decoder": 7}}
    assert all(
        component_fields(stage) == {} for stage in USED if stage not in ("decode", "evaluate", "measure")
    )

"""A component's output changes only with its version, and its version makes every key that depends on it new."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tad_core.artifacts import components
from tad_core.artifacts.components import USED, VERSIONS, Component, component_fields
from tests.tad_core.golden.outputs import OUTPUTS, STORED, current

HOW = "python -m tests.tad_core.golden.outputs"


@pytest.mark.determinism
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_changes_with_its_version_alone(name: Component) -> None:
    stored: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))[name]
    now = current(name)
    assert now["version"] == stored["version"], (
        f"{name} has a new version: write its outputs anew with `{HOW}`"
    )
    assert now["output"] == stored["output"], (
        f"{name} gives other output than its version {now['version']} gave. If that is meant, raise VERSIONS[{name!r}] "
        f"in tad_core/artifacts/components.py, so that nothing finished is taken for the new one, and run `{HOW}`"
    )


def test_every_component_has_an_output_and_a_stage() -> None:
    assert OUTPUTS.keys() == VERSIONS.keys() == {name for used in USED.values() for name in used}


def test_version_one_enters_nothing_and_a_higher_one_its_own_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "VERSIONS", dict.fromkeys(VERSIONS, 1))
    assert {stage: component_fields(stage) for stage in USED} == {stage: {} for stage in USED}
    monkeypatch.setitem(components.VERSIONS, "decoder", 7)
    assert component_fields("evaluate") == {"components": {"decoder": 7}}
    assert all(component_fields(stage) == {} for stage in USED if stage != "evaluate")

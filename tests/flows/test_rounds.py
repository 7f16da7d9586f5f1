"""A further round under Prefect: what is done is done once, and the same as without Prefect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages.pipeline import run_pipeline
from tests.flows.test_pipeline import changed, run, written

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


def test_a_round_is_part_of_the_flow_and_is_found_again(
    make_tree: Callable[[Path], dict[str, Any]], prefect_here: None, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "store")
    tree["models"] = {"quality": None, "again": {"round": "quality", "window": 4}}
    tree["evaluate"].pop("models", None)
    outcome, states = run(tree)
    assert list(outcome.evaluated) == ["base", "quality", "again"] and set(states.values()) == {"Completed"}
    assert {"merge quality", "distill quality", "distill again", "evaluate again", "report"} <= set(states)
    before = written(tree)
    again, states = run(tree)
    assert again == outcome and set(states.values()) == {"Cached"}
    assert run_pipeline(parse_config(tree), Store(tree["store"])) == outcome
    assert changed(before, written(tree)) == set()

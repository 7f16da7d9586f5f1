"""A study under Prefect: its tasks have names, and what it makes is what the library makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.study import study_flow
from tad_core.artifacts import Store
from tad_core.study.config import StudyConfig, expanded
from tad_core.study.stage import conclude, look


@pytest.mark.slow
def test_a_study_is_a_flow_with_a_task_for_each_training_each_model_and_each_round(
    make_tree: Callable[[Path], dict[str, Any]], tmp_path: Path, prefect_here: None
) -> None:
    matrix = {
        "name": "tiny-study",
        "config": "run.yaml",
        "states": 8,
        "seeds": [0, 1],
        "side_by_side": 2,
        "variants": {"tad": {"window": 4}, "wide": {"window": 8}, "again": {"window": 4, "round": "wide"}},
        "decoders": {"tokenwise": {"method": "token_by_token"}, "fast": {"thresholds": [0.5]}},
    }
    study = expanded(StudyConfig.model_validate(matrix), make_tree(tmp_path / "store"))
    page = study_flow("tiny-study", study)
    assert page.stage == "study-report" and "Every variant" in page.local("report.md").read_text()
    with get_client(sync_client=True) as client:
        names = {run.name for run in client.read_task_runs(limit=200)}
    assert {
        "train tad, wide (seed 0)",
        "train tad, wide (seed 1)",
        "measure base",
        "measure wide (seed 1)",
        "round of wide (seed 0)",
        "train again (seed 1)",
        "report",
    } <= names
    store = Store(study.run.store)
    made = look(study, store)
    assert len(made.adapters) == 6 and len(made.cells) == 14 and len(made.rounds) == 2
    assert conclude(study, made, store).fingerprint in {i.fingerprint for i in page.manifest.inputs}
    assert study_flow("tiny-study", study).manifest == page.manifest, "again nothing is made"

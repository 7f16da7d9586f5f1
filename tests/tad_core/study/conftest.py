"""A study of hand-made cells: numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.evaluation.records import Record, write_records
from tad_core.study.config import Study, StudyConfig, expanded
from tad_core.study.run import Cell

PROBLEMS = 40


def cell(store: Store, name: str, right: int, threshold: float, forwards: int, shift: int = 0) -> ArtifactRef:
    """The first ``right`` of 40 problems are solved, 8 tokens each; ``shift`` turns the rows."""
    rows = [
        Record(
            "sums", name, "any", threshold, f"p{i:02}", i < right, "equal", forwards, 8, 4, 0.1, "t",
            full_forwards=forwards // 2, computed=20 * forwards,
        )
        for i in range(PROBLEMS)
    ]  # fmt: skip
    with store.writer("measure", 1, f"{name}-{right}-{threshold}", {}) as writer:
        write_records(writer.path("results.parquet", rows=PROBLEMS), [*rows[shift:], *rows[:shift]])
        return writer.commit({})


def cells_of(
    store: Store, variants: Sequence[str] = ("tad", "wide"), seeds: Sequence[int] = (0, 1)
) -> dict[Cell, ArtifactRef]:
    """The base at 50 % and 25 %, each variant at 75 and 80 % token by token, the second twice as fast as the first."""
    cells: dict[Cell, ArtifactRef] = {
        ("base", None, "tokenwise"): cell(store, "base", 20, 0.0, 8),
        ("base", None, "fast"): cell(store, "base", 10, 0.5, 2),
    }
    for place, variant in enumerate(variants):
        for seed in seeds:
            cells[variant, seed, "tokenwise"] = cell(store, f"{variant}{seed}", 30 + 2 * seed, 0.0, 8, 5)
            cells[variant, seed, "fast"] = cell(
                store, f"{variant}{seed}", 30 + 4 * seed, 0.5, max(1, 4 - 2 * place)
            )
    return cells


@pytest.fixture
def study(tiny_tree: dict[str, Any]) -> Study:
    """Two variants, two seeds, two decoders."""
    matrix = {
        "name": "by-hand",
        "config": "run.yaml",
        "states": 4,
        "seeds": [0, 1],
        "variants": {
            "tad": {"window": 4, "label": "TAD"},
            "wide": {"window": 8, "settings": {"distant": "none"}, "label": "Wide"},
        },
        "decoders": {
            "tokenwise": {"method": "token_by_token"},
            "fast": {"thresholds": [0.5], "label": "Fast"},
        },
        "report": {"windows": ["tad", "wide"], "objectives": ["wide", "tad"], "data": ["tad"]},
    }
    return expanded(StudyConfig.model_validate(matrix), tiny_tree)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def made() -> SimpleNamespace:
    """The makers above; test files cannot import from here."""
    return SimpleNamespace(cells=cells_of, problems=PROBLEMS)

"""A hand-made run: real artifacts of every stage with numbers that can be checked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, parse_config
from tad_core.evaluation.records import Record, points, write_records
from tad_core.report.lineup import Lineup
from tad_core.stages.made import RunMade

LENGTH = 8
RIGHT: dict[str, dict[tuple[str, float], tuple[int, int]]] = {
    # way -> (problems right of 20, forwards per problem for 8 tokens)
    "base": {("token_by_token", 0.0): (6, 8), ("entropy", 0.1): (5, 4), ("entropy", 0.5): (2, 2)},
    "quality": {("token_by_token", 0.0): (16, 8), ("entropy", 0.1): (16, 4), ("entropy", 0.5): (15, 2)},
    "speed": {("token_by_token", 0.0): (15, 8), ("entropy", 0.1): (15, 2), ("entropy", 0.5): (15, 1)},
}
Curves = dict[str, dict[tuple[str, float], tuple[int, int]]]


def make_config(**evaluate: Any) -> TADConfig:
    return parse_config(
        {
            "name": "hand-made",
            "model": {"path": "assets/none"},
            "data": [{"name": "sums", "source": "arithmetic", "count": 20}],
            "rollout": {"response_length": LENGTH, "block_length": LENGTH},
            "distill": {"states_per_trajectory": LENGTH},
            "evaluate": {
                "tasks": [{"name": "sums", "source": "arithmetic", "count": 20, "split": "heldout"}],
                "thresholds": [0.1, 0.5],
                "bootstrap": 200,
                "decode": {"block_length": LENGTH},
                **evaluate,
            },
        }
    )


def make_records(
    model: str, ways: dict[tuple[str, float], tuple[int, int]], task: str = "sums"
) -> list[Record]:
    return [
        Record(
            task=task,
            model=model,
            method=method,
            threshold=threshold,
            problem_id=f"{task}/{i}",
            correct=i < right,
            verdict="passed" if i < right else "different",
            forwards=forwards,
            tokens=LENGTH,
            tokens_text=LENGTH - 2,
            wall_s=0.01 * forwards,
            text="42",
            full_forwards=forwards // 2,
            computed=20 * forwards,
        )
        for (method, threshold), (right, forwards) in ways.items()
        for i in range(20)
    ]


def make_summary() -> dict[str, Any]:
    return {
        "rows": 30,
        "kept": 18,
        "tier": {"no programs were run": 30},
        "by_source": [
            {"source": "sums", "condition": "plain", "total": 10, "kept": 3, "lower_trust": 0,
             "rejected": {"different": 5, "no_answer": 2}},
            {"source": "sums", "condition": "privileged", "total": 20, "kept": 18, "lower_trust": 0,
             "rejected": {"different": 2}},
        ],
    }  # fmt: skip


def make_curve(quality: dict[str, Any] | None = None, speed: dict[str, Any] | None = None) -> dict[str, Any]:
    confidence = [0.9, 0.8, 0.6, 0.5, 0.4, 0.35, 0.3, 0.0]
    return {
        "offsets": list(range(1, LENGTH + 1)),
        "confidence": confidence,
        "smoothed": confidence,
        "count": [60, 50, 40, 30, 20, 10, 5, 0],
        "confidence_all": [0.95, *confidence[1:]],
        "count_all": [80, 70, 60, 50, 40, 30, 20, 0],
        "left_out": 0.386,
        "states": 64,
        "quality": {"window": 4, "threshold": 0.5, "crossed": True, "crossing": 4, "source": "calibrated",
                    **(quality or {})},
        "speed": {"window": 6, "threshold": 0.2, "crossed": False, "crossing": None, "source": "cap",
                  **(speed or {})},
    }  # fmt: skip


def make_windows(curve: dict[str, Any] | None = None) -> dict[str, Any]:
    """Those of the standard table."""
    return {name: (curve or make_curve())[name] for name in ("quality", "speed")}


def make_log(steps: int = 20) -> list[dict[str, Any]]:
    return [
        {"step": i, "loss": 3 / i + 1 / i, "near": 3 / i, "distant": 1 / i, "near_count": 10,
         "distant_count": 30, "lr": 1e-4, "wall_s": 0.5 * i}
        for i in range(1, steps + 1)
    ]  # fmt: skip


def make_example(model: str) -> dict[str, Any]:
    tokens = ["1", "+", "1", "=", "2", ".", "<|endoftext|>", "<|endoftext|>"]
    base = {"tokens": tokens, "tokens_text": 6, "correct": True}
    return {
        "task": "sums",
        "problem_id": "sums/0",
        "model": model,
        "prompt": "How much is 1 + 1 ?",
        "decodings": [
            {**base, "method": "token_by_token", "threshold": 0.0, "revealed_at": [1, 2, 3, 4, 5, 6, 7, 8],
             "forwards": 8},
            {**base, "method": "entropy", "threshold": 0.5, "revealed_at": [1, 1, 1, 2, 2, 2, 2, 0],
             "forwards": 2},
        ],
    }  # fmt: skip


@dataclass
class Run:
    """The artifacts of a run, ready for ``report``."""

    store: Store
    config: TADConfig
    collection: ArtifactRef
    filtered: ArtifactRef
    windows: ArtifactRef | None
    distilled: dict[str, ArtifactRef] = field(default_factory=dict)
    evaluated: dict[str, ArtifactRef] = field(default_factory=dict)

    @property
    def made(self) -> RunMade:
        return RunMade(self.collection, self.filtered, self.windows, self.distilled, self.evaluated)


def make_run(
    folder: Path,
    config: TADConfig | None = None,
    curves: Curves | None = None,
    summary: dict[str, Any] | None = None,
    curve: dict[str, Any] | None = None,
    example: Callable[[str], dict[str, Any]] = make_example,
) -> Run:
    """Write every artifact that the report reads."""
    store = Store(folder / "store")
    curves = RIGHT if curves is None else curves
    with store.writer("collect", 1, "c" * 32, {}) as writer:
        writer.write_text("problems.jsonl", "")
        collection = writer.commit({"shards": []})
    with store.writer("filter", 1, "f" * 32, {}) as writer:
        writer.write_json("summary.json", summary or make_summary())
        filtered = writer.commit({"judge_s": 1.5})
    with store.writer("calibrate", 1, "a" * 32, {}) as writer:
        writer.write_json("curve.json", curve or make_curve())
        windows = writer.commit()
    run = Run(store, config or make_config(), collection, filtered, windows)
    for model, ways in curves.items():
        if model != "base":
            with store.writer("distill", 1, f"{model:d>32}", {}) as writer:
                writer.write_text("losses.jsonl", "".join(json.dumps(line) + "\n" for line in make_log()))
                run.distilled[model] = writer.commit({"wall_s": 10.0})
        records = make_records(model, ways)
        with store.writer("evaluate", 1, f"{model:e>32}", {}) as writer:
            write_records(writer.path("results.parquet"), records)
            writer.write_json("points.json", points(records))
            writer.write_json("example.json", example(model))
            run.evaluated[model] = writer.commit()
    return run


@pytest.fixture(scope="session")
def fake() -> SimpleNamespace:
    """The makers above; test files cannot import from here."""
    return SimpleNamespace(
        config=make_config,
        records=make_records,
        summary=make_summary,
        curve=make_curve,
        log=make_log,
        example=make_example,
        run=make_run,
        curves=RIGHT,
        lineup=Lineup.of(make_config()),
        windows=make_windows,
    )


@pytest.fixture(scope="session")
def hand_made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run for tests that only read it."""
    return make_run(tmp_path_factory.mktemp("run"))

"""What papers publish, from ``published.yaml``: shown beside what was measured, never mixed with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tad_core.config import SourceConfig

_FILE = Path(__file__).parent / "published.yaml"
#: benchmark in the papers' tables, by the task that sets it
BENCHMARKS = {
    "gsm8k": "gsm8k",
    "gsm8k_cot_zeroshot": "gsm8k",
    "minerva_math": "math",
    "humaneval": "humaneval",
    "humaneval_instruct": "humaneval",
    "mbpp": "mbpp",
    "mbpp_instruct": "mbpp",
}


@dataclass(frozen=True)
class Published:
    """One method on one benchmark as a paper prints it.

    Attributes:
        base: the model it decodes or was made from.
        benchmark: ``gsm8k``, ``math``, ``humaneval`` or ``mbpp``.
        accuracy: in percent.
        tpf: tokens per forward.
        aup: as printed, with the ``y_max`` of the leaderboard's table.
        tokens_per_s: None where it is not printed.
        prompt: under which it was measured.
        hardware: of ``tokens_per_s``.
        source: paper and table.
    """

    base: str
    method: str
    benchmark: str
    accuracy: float
    tpf: float
    aup: float
    tokens_per_s: float | None
    prompt: str
    hardware: str
    source: str


@cache
def published() -> tuple[Published, ...]:
    """Every row there is, in the order of the file."""
    tree = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple(_row(tree, row) for row in tree["rows"])


def published_on(benchmarks: Iterable[str]) -> list[Published]:
    """The rows of these benchmarks."""
    wanted = set(benchmarks)
    return [row for row in published() if row.benchmark in wanted]


def benchmark_of_task(task: SourceConfig) -> str | None:
    """What the papers call the benchmark of a task; None for a task that is none of theirs."""
    named = task.options.get("task") if task.source == "benchmark" else None
    return BENCHMARKS.get(str(named))


def _row(tree: dict[str, Any], row: dict[str, Any]) -> Published:
    prompt = tree["prompts"][row["prompt"]].format(shots=row["shots"])
    rest = {name: value for name, value in row.items() if name not in ("prompt", "shots")}
    return Published(**{"tokens_per_s": None, **rest}, prompt=prompt, hardware=tree["hardware"])

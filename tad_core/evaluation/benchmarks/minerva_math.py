"""MATH (Hendrycks et al. 2021) with the prompt of Minerva: competition problems in seven subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.base import Benchmark, Figures, Row, RowError
from tad_core.evaluation.benchmarks.lm_eval_math import judge_all
from tad_core.evaluation.scoring import Scorer
from tad_core.verify.extract import last_boxed

#: subject as the data set writes it -> its subset
SUBSETS = {
    "Algebra": "algebra",
    "Counting & Probability": "counting_and_probability",
    "Geometry": "geometry",
    "Intermediate Algebra": "intermediate_algebra",
    "Number Theory": "number_theory",
    "Prealgebra": "prealgebra",
    "Precalculus": "precalculus",
}


class MinervaMath(Benchmark):
    """Judged by the value of the final answer; lm-eval's figures are its own two comparisons."""

    kind = "math"
    columns: ClassVar = {"problem": str, "solution": str, "type": str}
    figure_names = ("math_verify,none", "exact_match,none")

    def clean(self, raw: Mapping[str, Any]) -> Row:
        """See ``Benchmark.clean``; MATH-500 calls the column of the subject so."""
        row = super().clean({"type": raw.get("subject"), **raw})
        if row["type"] not in SUBSETS:
            raise RowError(f"subject {row['type']!r} is not one of MATH's seven")
        return row

    def subset(self, row: Row) -> str:
        """See ``Benchmark.subset``."""
        return SUBSETS[row["type"]]

    def fields(self, row: Row) -> dict[str, Any]:
        """See ``Benchmark.fields``."""
        if not row["problem"].strip():
            raise RowError("the problem is empty")
        if not (answer := last_boxed(row["solution"])):
            raise RowError("the solution has no boxed answer")
        return {
            "question": row["problem"],
            "reference": row["solution"],
            "answer": answer,
            "meta": {"math_kind": "expression"},
        }

    def figures(self, problems: Sequence[Problem], texts: Sequence[str], scorer: Scorer) -> list[Figures]:
        """See ``Benchmark.figures``."""
        pairs = [(p.reference, t) for p, t in zip(problems, texts, strict=True)]
        return [{f"{name},none": float(v) for name, v in found.items()} for found in judge_all(pairs)]

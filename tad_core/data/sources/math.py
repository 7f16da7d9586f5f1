r"""MATH and its PRM800K split (PRM12K): a problem, and a solution whose answer stands in a ``\boxed{…}``."""

from __future__ import annotations

from collections.abc import Iterator

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.rows import Row
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources._files import (
    BadRowError,
    HubDefault,
    meta_of,
    options_of,
    place_of,
    read_problems,
    text_of,
)
from tad_core.verify.extract import last_boxed

HUB = HubDefault(
    "EleutherAI/hendrycks_math",
    ("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
     "precalculus"),
)  # fmt: skip
COLUMNS = ("problem", "question", "solution", "level", "type", "subject", "unique_id")


def load(source: SourceConfig) -> Iterator[LeftOut | Candidate]:
    """Options: those of every file-based source; ``answer``, a column with the answer alone, for data that have one.

    The answer is otherwise what the last box of the solution holds, and also where that column is empty.
    """
    options = options_of(source, {"answer": ""})
    column = options["answer"]

    def make(row: Row, id_: str) -> Problem:
        solution = text_of(row, "solution", "solution")
        given = text_of(row, "answer", column, numbers=True) if column and row.values.get(column) else ""
        return Problem(
            id=id_,
            source=source.name,
            kind="math",
            question=text_of(row, "question", "problem", "question"),
            reference=solution,
            answer=given.strip() or _boxed(solution),
            meta={"math_kind": "expression", **meta_of(row, "level", "type", "subject")},
        )

    return read_problems(
        source, options, place_of(source, options, (*COLUMNS, column), HUB), make, ("unique_id",)
    )


def _boxed(solution: str) -> str:
    answer = last_boxed(solution)
    if not answer:
        raise BadRowError(
            "empty box" if "\\boxed" in solution or "\\fbox" in solution else "no box in the solution"
        )
    return answer

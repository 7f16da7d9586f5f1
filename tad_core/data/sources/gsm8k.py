"""GSM8K: a question, and a worked solution that ends in ``#### 72``."""

from __future__ import annotations

from collections.abc import Iterator

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.rows import Row
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources._files import (
    BadRowError,
    HubDefault,
    options_of,
    place_of,
    read_problems,
    text_of,
)
from tad_core.verify.extract import after_hashes

HUB = HubDefault("openai/gsm8k", ("main",))
COLUMNS = ("question", "answer")


def load(source: SourceConfig) -> Iterator[LeftOut | Candidate]:
    """Options: those of every file-based source; without ``path`` the hub's ``openai/gsm8k``."""
    options = options_of(source, {})

    def make(row: Row, id_: str) -> Problem:
        solution = text_of(row, "answer", "answer")
        answer = after_hashes(solution)
        if not answer:
            raise BadRowError("no answer after ####")
        return Problem(
            id=id_,
            source=source.name,
            kind="math",
            question=text_of(row, "question", "question"),
            reference=solution,
            answer=answer,
            meta={"math_kind": "number"},
        )

    return read_problems(source, options, place_of(source, options, COLUMNS, HUB), make)

"""Any table with a column mapping: JSON lines, JSON, CSV, Parquet, or a hub data set."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from tad_core.config import SourceConfig
from tad_core.data.problem import Kind, Problem
from tad_core.data.rows import Row
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources._files import (
    BadRowError,
    lines_of,
    meta_of,
    options_of,
    place_of,
    read_problems,
    text_of,
)
from tad_core.errors import ConfigError
from tad_core.verify.extract import after_hashes, last_boxed

#: The column of each part of a problem, and two settings; an empty name means that there is none.
MAPPING: dict[str, Any] = {
    "kind": "math",
    "question": "question",
    "reference": "answer",
    "answer": "",
    "tests": "tests",
    "id": "",
    "entry_point": "",
    "prompt": "",
    "meta": [],
    "math_kind": "",
}
_CHOICES = {"kind": ("math", "code"), "math_kind": ("", "number", "expression")}


def load(source: SourceConfig, prefix: str | None = None) -> Iterator[LeftOut | Candidate]:
    """Options: those of every file-based source, and ``MAPPING``; docs/data.md says what each means.

    ``prefix`` begins the ids; default: the names of source and split.
    """
    options = options_of(source, MAPPING)
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            known = " or ".join(c or "nothing" for c in choices)
            raise ConfigError(f"data source {source.name}: option {name} is {options[name]!r}; use {known}")
    columns = [
        options[n] for n in ("question", "reference", "answer", "tests", "id", "entry_point", "prompt")
    ]
    place = place_of(source, options, (*columns, *options["meta"]))
    return read_problems(source, options, place, partial(_problem, source, options), (options["id"],), prefix)


def _problem(source: SourceConfig, options: dict[str, Any], row: Row, id_: str) -> Problem:
    kind = cast(Kind, options["kind"])
    reference = text_of(row, "reference", options["reference"])
    meta = meta_of(row, *options["meta"])
    for name in ("entry_point", "prompt"):
        if options[name]:
            meta[name] = text_of(row, name, options[name])
    if kind == "math" and options["math_kind"]:
        meta["math_kind"] = options["math_kind"]
    if options["id"]:
        text_of(row, "id", options["id"], numbers=True)
    return Problem(
        id=id_,
        source=source.name,
        kind=kind,
        question=text_of(row, "question", options["question"]),
        reference=reference,
        answer=_answer(options, row, reference) if kind == "math" else "",
        tests=lines_of(row, "tests", options["tests"]) if kind == "code" else "",
        meta=meta,
    )


def _answer(options: dict[str, Any], row: Row, reference: str) -> str:
    """The answer's own column; else what follows ``####`` in the reference, its last box, or all of it."""
    if options["answer"]:
        return text_of(row, "answer", options["answer"], numbers=True).strip()
    if "####" in reference:
        if not (answer := after_hashes(reference)):
            raise BadRowError("no answer after ####")
        return answer
    return last_boxed(reference) or reference.strip()

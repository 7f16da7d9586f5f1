"""Problems from a local JSON-lines file with a column mapping; GSM8K's ``####`` is understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from tad_core.config import SourceConfig
from tad_core.data.problem import Kind, Problem
from tad_core.data.sources._options import read_options
from tad_core.errors import ConfigError, DataError


def load(source: SourceConfig) -> list[Problem]:
    """Options: ``path``, ``kind`` (math or code) and the columns of ``question``, ``reference``, ``answer``,
    ``tests``, ``id``. Without an answer column the answer is what follows ``####`` in the reference, or all of it.

    Raises:
        DataError: no such file, a line that is not JSON, a row without a needed field, too few rows.
    """
    options = read_options(
        source,
        {"path": "", "kind": "math", "question": "question", "reference": "answer", "answer": "", "tests": "tests",
         "id": "", "entry_point": ""},
    )  # fmt: skip
    if options["kind"] not in ("math", "code"):
        raise ConfigError(f"data source {source.name}: option kind is {options['kind']!r}; use math or code")
    path = Path(options["path"])
    if not path.is_file():
        raise DataError(
            f"data source {source.name}: option path {str(path)!r} is not a file; give a .jsonl file"
        )
    problems: list[Problem] = []
    try:
        with path.open(encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, 1):
                if len(problems) == source.count:
                    break
                if line.strip():
                    problems.append(_problem(source, options, _row(path, number, line), number))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"data source {source.name}: {path} cannot be read as UTF-8 text ({error}); give a .jsonl file"
        ) from None
    if source.count is not None and len(problems) < source.count:
        raise DataError(
            f"data source {source.name}: {path} has {len(problems)} problems and count is {source.count}; lower count"
        )
    return problems


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}:{number} is not JSON ({error}); mend or remove the line") from None
    if not isinstance(row, dict):
        raise DataError(f"{path}:{number} is a {type(row).__name__}; every line must be an object")
    return row


def _problem(source: SourceConfig, options: dict[str, Any], row: dict[str, Any], number: int) -> Problem:
    def text(option: str) -> str:
        column = options[option]
        value = row.get(column) if column else ""
        if column and not isinstance(value, (str, int, float)):
            raise DataError(
                f"{options['path']}:{number} has no usable column {column!r} (option {option}); "
                f"columns: {', '.join(row)}"
            )
        return str(value)

    kind = cast(Kind, options["kind"])
    reference, answer = text("reference"), text("answer")
    if kind == "math" and not answer:
        answer = reference.rpartition("####")[2].strip()
    return Problem(
        id=f"{source.name}/{text('id') if options['id'] else number}",
        source=source.name,
        kind=kind,
        question=text("question"),
        reference=reference,
        answer=answer if kind == "math" else "",
        tests=text("tests") if kind == "code" else "",
        meta={"entry_point": text("entry_point")} if options["entry_point"] else {},
    )

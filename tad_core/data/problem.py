"""The one record every data source yields and every later stage reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tad_core.errors import DataError

Kind = Literal["math", "code"]


@dataclass(frozen=True)
class Problem:
    """A problem with a full worked reference.

    Attributes:
        id: unique and stable across runs, e.g. ``"gsm8k/train/17"``.
        source: name of the data source, e.g. ``"gsm8k"``.
        kind: ``"math"`` (verified by its answer) or ``"code"`` (verified by its tests).
        question: what the student sees.
        reference: the full worked answer; only the privileged teacher sees it.
        answer: the final answer (math); empty for code.
        tests: Python source of the unit tests (code); empty for math.
        meta: anything else a source knows: ``entry_point``, ``steps``, ``style`` …
    """

    id: str
    source: str
    kind: Kind
    question: str
    reference: str
    answer: str = ""
    tests: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "question"):
            if not str(getattr(self, name)).strip():
                raise DataError(f"problem {self.id!r}: {name} is empty; every problem needs one")
        if self.kind not in ("math", "code"):
            raise DataError(f"problem {self.id!r}: kind {self.kind!r} is not known; use 'math' or 'code'")
        if self.kind == "math" and not self.answer.strip():
            raise DataError(f"problem {self.id!r}: a math problem needs an answer")
        if self.kind == "code" and not self.tests.strip():
            raise DataError(f"problem {self.id!r}: a code problem needs tests")

    def as_dict(self) -> dict[str, Any]:
        """The record as plain JSON types."""
        return asdict(self)


def problem_lines(problems: Iterable[Problem]) -> str:
    """The text of a ``problems.jsonl``: one problem a line."""
    return "".join(json.dumps(p.as_dict(), sort_keys=True, ensure_ascii=False) + "\n" for p in problems)


def read_problem_lines(path: str | Path) -> list[Problem]:
    """The problems of a ``problems.jsonl``.

    Raises:
        DataError: it cannot be read, or a line is no problem.
    """
    try:
        # Not splitlines(): a question may hold U+2028 or another character that it takes for the end of a line.
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        return [Problem(**json.loads(line)) for line in lines if line]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"problems: {path} cannot be read as problems ({error}); collect again") from None

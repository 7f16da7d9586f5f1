"""The one record every data source yields and every later stage reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
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

"""Judge what a model answered, each distinct answer once however often it comes up in a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tad_core.data.problem import Problem
from tad_core.errors import VerifierError
from tad_core.verify.verdict import Judgement, Verdict


class Judge(Protocol):
    """What scoring needs of a ``Verifier``."""

    def judge(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Judgement]:
        """A judgement for each text, in their order."""
        ...


class Scorer:
    """Remembers judgements by problem and text; a verdict depends on nothing else.

    All that a problem is judged by counts beside its id: tasks of other rows can have the same.
    """

    def __init__(self, verifier: Judge) -> None:
        self._verifier = verifier
        self._known: dict[tuple[str, ...], Judgement] = {}

    def judge(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Judgement]:
        """Judge all texts in one batch.

        Raises:
            VerifierError: when the verifier itself failed on a text: that is neither right nor wrong.
        """
        asked = list(zip(problems, texts, strict=True))
        fresh = {mark: one for one in asked if (mark := _mark(*one)) not in self._known}
        if fresh:
            found = self._verifier.judge([p for p, _ in fresh.values()], [t for _, t in fresh.values()])
            for mark, judgement in zip(fresh, found, strict=True):
                if judgement.verdict is Verdict.INFRASTRUCTURE:
                    raise VerifierError(
                        f"evaluate: the verifier itself failed on {mark[0]!r}: {judgement.reason}; run "
                        "`tad doctor`, then the same command again"
                    )
                self._known[mark] = judgement
        return [self._known[_mark(*one)] for one in asked]


def _mark(problem: Problem, text: str) -> tuple[str, ...]:
    looked_for = problem.source, problem.kind, repr(problem.meta)
    return problem.id, *looked_for, problem.answer, problem.tests, problem.reference, text

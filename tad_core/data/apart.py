"""Whether what is asked in evaluation is apart from what is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from tad_core.data.problem import Problem


def also_trained_on(trained: Iterable[Problem], tasks: Mapping[str, Sequence[Problem]]) -> list[str]:
    """A sentence for each task that asks questions of the training data: it measures what was learned by heart.

    Args:
        trained: the problems of the collection.
        tasks: those of evaluation, by task.
    """
    known = {_asked(problem) for problem in trained}
    told = []
    for name, problems in tasks.items():
        if both := sum(_asked(problem) in known for problem in problems):
            told.append(
                f"{both:,} of {len(problems):,} problems of the task {name} are in the training data, too: its figures "
                "say little of new problems; keep some apart (split, heldout_share, docs/data.md)"
            )
    return told


def _asked(problem: Problem) -> bytes:
    """Equal for the same question, however its lines are broken."""
    return hashlib.sha256(" ".join(problem.question.split()).encode("utf-8", "surrogatepass")).digest()[:16]

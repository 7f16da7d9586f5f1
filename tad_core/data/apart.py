"""Whether what is asked in evaluation is apart from what is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem

#: Options that say which rows are read, so that the split of a data set of the hub does not.
_SAY_WHICH = ("path", "hub_split", "heldout_share")
_OF_THE_HUB = ("gsm8k", "math", "kodcode", "table")


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


def on_rows_for_training(tasks: Iterable[SourceConfig]) -> list[str]:
    """A sentence for each task that reads the training split of a data set of the hub: ``train`` is the default there
    as well, and the published figures are of the other."""
    return [
        f"the task {task.name} is measured on split train of its data set, the rows for training; published figures "
        "are of the test split: give split: heldout, or source: benchmark (docs/evaluation.md)"
        for task in tasks
        if task.source in _OF_THE_HUB
        and task.split == "train"
        and not any(task.options.get(name) for name in _SAY_WHICH)
    ]


def _asked(problem: Problem) -> bytes:
    """Equal for the same question, however its lines are broken."""
    return hashlib.sha256(" ".join(problem.question.split()).encode("utf-8", "surrogatepass")).digest()[:16]

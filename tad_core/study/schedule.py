"""What a study does next: what can be measured before what can be trained, so that no result waits behind trainings."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tad_core.stages.variants import passes
from tad_core.study.config import Study


class Task:
    """What one process does from its beginning to its end."""

    @property
    def told(self) -> str:
        """For people."""
        raise NotImplementedError

    @property
    def rank(self) -> int:
        """Of what is ready, the lowest comes first."""
        raise NotImplementedError


@dataclass(frozen=True)
class Measuring(Task):
    """A model that is decoded every way; the base has no seed."""

    model: str
    seed: int | None
    rank = 0

    @property
    def told(self) -> str:
        """For people."""
        return f"measure {self.model}" + _of_seed(self.seed)


@dataclass(frozen=True)
class Merging(Task):
    """The weights that a further round rolls out with, where several processes do."""

    seed: int
    of: str
    rank = 1

    @property
    def told(self) -> str:
        """For people."""
        return f"merge {self.of}" + _of_seed(self.seed)


@dataclass(frozen=True)
class Rolling(Task):
    """A process beside others that rolls out a further round: ``place`` of ``count``."""

    seed: int
    of: str
    place: int
    count: int
    rank = 1

    @property
    def told(self) -> str:
        """For people."""
        return f"roll out by {self.of}{_of_seed(self.seed)}, process {self.place + 1} of {self.count}"


@dataclass(frozen=True)
class NextRound(Task):
    """A further round, up to its windows; before trainings, since the most comes after it."""

    seed: int
    of: str
    rank = 1

    @property
    def told(self) -> str:
        """For people."""
        return f"round of {self.of}" + _of_seed(self.seed)


@dataclass(frozen=True)
class Training(Task):
    """Variants of one seed that are trained in one pass; ``of``: the model that their round begins from."""

    seed: int
    models: tuple[str, ...]
    of: str | None = None

    @property
    def rank(self) -> int:
        """What a round has led to comes before what has not begun."""
        return 3 if self.of is None else 2

    @property
    def told(self) -> str:
        """For people."""
        return f"train {', '.join(self.models)}" + _of_seed(self.seed)


def _of_seed(seed: int | None) -> str:
    return "" if seed is None else f" (seed {seed})"


class Schedule:
    """The tasks that are ready, in order; safe from any thread.

    Args:
        ready: what can be begun from the beginning.
        after: what can be begun once a task has ended well, and all others that it is behind as well.
    """

    def __init__(self, ready: Sequence[Task], after: Mapping[Task, Sequence[Task]]) -> None:
        self._ready, self._after = list(ready), after
        self._in_hand: set[Task] = set()
        self._lock = threading.Lock()
        self._left = Counter(task for behind in after.values() for task in behind)
        self._dropped: set[Task] = set()
        self.total = len(self._reach(ready))
        self.ended = 0

    def todo(self) -> Iterator[Task | None]:
        """Task after task; None while all that could be begun depends on what is in hand."""
        while True:
            with self._lock:
                if not self._ready and not self._in_hand:
                    return
                task = min(self._ready, key=lambda ready: ready.rank, default=None)
                if task is not None:
                    self._ready.remove(task)
                    self._in_hand.add(task)
            yield task

    def end(self, task: Task, *, well: bool) -> None:
        """A task has ended; what is behind one that went well can be begun, and behind another never."""
        with self._lock:
            self._in_hand.discard(task)
            self.ended += 1
            behind = self._after.get(task, ())
            if well:
                self._left.subtract(behind)
                self._ready += (one for one in behind if not self._left[one])
            else:
                never = self._reach(behind) - self._dropped
                self._dropped |= never
                self.total -= len(never)

    def _reach(self, tasks: Sequence[Task]) -> set[Task]:
        """They and all that is behind them."""
        found: set[Task] = set()
        todo = list(tasks)
        while todo:
            task = todo.pop()
            if task not in found:
                found.add(task)
                todo += self._after.get(task, ())
        return found


def shared_passes(study: Study, models: Sequence[str]) -> list[tuple[str, ...]]:
    """Which variants of a seed are trained together: those that see the same states, a few at a time."""
    most = study.config.at_most_in_one_pass
    cut = partial(_cut, most=most)
    begun = {given.round.of for given in study.config.variants.values() if given.round is not None}

    def weight(names: Sequence[str]) -> tuple[bool, int]:
        return not begun.isdisjoint(names), len(names)

    pieces = (piece for whole in passes(study.run, models) for piece in cut(whole))
    return sorted(pieces, key=weight, reverse=True)


def _cut(models: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Pieces of at most ``most``, as even as can be: one of five and one of one takes as long as one of five."""
    count = -(-len(models) // most)
    bounds = [len(models) * i // count for i in range(count + 1)]
    return [tuple(models[a:b]) for a, b in itertools.pairwise(bounds)]

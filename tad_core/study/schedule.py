"""What a study does next: what can be measured before what can be trained, so that no result waits behind trainings."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class Task:
    """What one process does from its beginning to its end."""

    @property
    def told(self) -> str:
        """For people."""
        raise NotImplementedError


@dataclass(frozen=True)
class Training(Task):
    """Variants of one seed that are trained in one pass."""

    seed: int
    models: tuple[str, ...]

    @property
    def told(self) -> str:
        """For people."""
        return f"train {', '.join(self.models)} (seed {self.seed})"


@dataclass(frozen=True)
class Measuring(Task):
    """A model that is decoded every way; the base has no seed."""

    model: str
    seed: int | None

    @property
    def told(self) -> str:
        """For people."""
        return f"measure {self.model}" + ("" if self.seed is None else f" (seed {self.seed})")


class Schedule:
    """The tasks that are ready, in order; safe from any thread.

    Args:
        measurings: what can be measured from the beginning.
        trainings: in the order in which they begin.
    """

    def __init__(self, measurings: Sequence[Measuring], trainings: Sequence[Training]) -> None:
        self._measurings, self._trainings = list(measurings), list(trainings)
        self._in_hand: set[Task] = set()
        self._lock = threading.Lock()
        self.total = len(measurings) + sum(1 + len(training.models) for training in trainings)
        self.ended = 0

    def todo(self) -> Iterator[Task | None]:
        """Task after task; None while all that could be begun depends on what is in hand."""
        while True:
            with self._lock:
                ready = self._measurings or self._trainings
                if not ready and not self._in_hand:
                    return
                task = ready.pop(0) if ready else None
                if task is not None:
                    self._in_hand.add(task)
            yield task

    def end(self, task: Task, *, well: bool) -> None:
        """A task has ended; the models of a training that went well can be measured."""
        with self._lock:
            self._in_hand.discard(task)
            self.ended += 1
            if not isinstance(task, Training):
                return
            if well:
                self._measurings += [Measuring(model, task.seed) for model in task.models]
            else:
                self.total -= len(task.models)

"""Threads that each own an algebra process and a sandbox, and judge from one queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tad_core.errors import VerifierError
from tad_core.verify.math_process import AlgebraError, AlgebraProcess
from tad_core.verify.sandbox.launch import Keeper, KeeperError

T = TypeVar("T")


class RetryError(Exception):
    """The verifier failed at an item and may try again."""


@dataclass
class Slot:
    """What a thread owns; started when first used."""

    memory_mb: int
    tier: Callable[[], int]
    algebra: AlgebraProcess = field(init=False)
    _keeper: Keeper | None = None

    def __post_init__(self) -> None:
        self.algebra = AlgebraProcess(self.memory_mb)

    @property
    def keeper(self) -> Keeper:
        """The sandbox of this slot."""
        if self._keeper is None:
            self._keeper = Keeper(self.tier())
        return self._keeper

    def reset(self) -> None:
        """End both processes; the next item starts fresh ones."""
        self.algebra.kill()
        if self._keeper is not None:
            self._keeper.kill()

    def pids(self) -> list[int]:
        """The processes that run now."""
        found = [self.algebra.pid, self._keeper.pid if self._keeper else None]
        return [pid for pid in found if pid is not None]


Work = Callable[[Slot], T]


class _Batch(Generic[T]):
    """The items of one call and where their outcomes go."""

    def __init__(self) -> None:
        self.done: queue.SimpleQueue[tuple[int, T | BaseException]] = queue.SimpleQueue()
        self.cancelled = False


class Pool:
    """A fixed number of slots. Any number of threads may hand in items at the same time."""

    def __init__(self, workers: int, retries: int, memory_mb: int, tier: Callable[[], int]) -> None:
        self._retries = retries
        self._queue: queue.SimpleQueue[tuple[_Batch[object], int, Work[object]] | None] = queue.SimpleQueue()
        self._slots = [Slot(memory_mb, tier) for _ in range(workers)]
        self._threads = [
            # Started here and ended in close(): a sandbox dies with the thread that started it.
            threading.Thread(target=self._serve, args=(slot,), name=f"verify-{i}", daemon=True)
            for i, slot in enumerate(self._slots)
        ]
        self._closed = False
        self._lock = threading.Lock()
        for thread in self._threads:
            thread.start()

    def run(self, items: list[tuple[int, Work[T]]]) -> Iterator[tuple[int, T]]:
        """Yield ``(index, outcome)`` as they come; the first item that cannot be judged raises."""
        batch: _Batch[T] = _Batch()
        with self._lock:
            if self._closed:
                raise VerifierError("the verifier is closed")
            for index, work in items:
                self._queue.put((batch, index, work))  # type: ignore[arg-type]
        try:
            for _ in items:
                index, outcome = batch.done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield index, outcome
        finally:
            batch.cancelled = True  # whoever stops reading needs no more verdicts

    def pids(self) -> list[int]:
        """The processes of all slots."""
        return [pid for slot in self._slots for pid in slot.pids()]

    def close(self) -> None:
        """End all threads and processes; items that wait get an error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, slot: Slot) -> None:
        try:
            while (task := self._queue.get()) is not None:
                batch, index, work = task
                if batch.cancelled:
                    continue
                if self._closed:
                    batch.done.put((index, VerifierError("the verifier was closed")))
                    continue
                batch.done.put((index, self._attempt(slot, work)))
        finally:
            slot.reset()

    def _attempt(self, slot: Slot, work: Work[object]) -> object:
        """The outcome of an item, or the exception that ends the run."""
        problem = ""
        for _ in range(self._retries + 1):
            try:
                return work(slot)
            except (AlgebraError, KeeperError, RetryError) as error:
                problem = str(error)
                slot.reset()
            except Exception as error:
                slot.reset()
                return error
        return VerifierError(f"the verifier failed {self._retries + 1} times at one item: {problem}")

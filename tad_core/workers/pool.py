"""The pool: slots, each with a worker process at most, and whoever waits for one.

On a machine with GPUs a slot is one of them, and its worker a fresh interpreter that sees no other. On a CPU several
slots are forks of one process that has loaded the model (``nursery.py``).
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import Counter
from types import TracebackType
from typing import Any, Self

from tad_core import errors
from tad_core.config import ModelConfig
from tad_core.progress import OnProgress, silent
from tad_core.workers.child import Child, OnLine
from tad_core.workers.devices import environment, visible_gpus
from tad_core.workers.jobs import Job, Result
from tad_core.workers.nursery import Nursery

#: What a worker process runs.
MODULE = "tad_core.workers.process"
#: A slot (a GPU) whose workers died so often in a row is given up; more than one job is tried.
DEATHS_IN_A_ROW = 5


class Pool:
    """``run`` may be called from any thread and takes the next free slot of those that the job may use.

    A slot whose worker holds the job's model is preferred, and one that others wait for with its model is left to them:
    several models side by side do not take turns on a GPU. A worker that died is replaced when its slot is next used,
    until ``DEATHS_IN_A_ROW`` of a slot have died with nothing done in between. No process is started before it is used.
    """

    def __init__(
        self,
        model: ModelConfig,
        on_line: OnLine | None = None,
        nursery: Nursery | None = None,
        gpu: int = 0,
    ) -> None:
        """No process is started before it is used.

        Args:
            model: the checkpoint.
            on_line: told what the workers say on stderr.
            nursery: one that loads no model; all workers are its forks, and it is not closed here.
            gpu: with ``nursery``, which of the visible GPUs the first slot has.
        """
        self._model, self._on_line = model, on_line
        self._shared, self._gpu = nursery, gpu
        self._changed = threading.Condition()
        self._waiting: list[Job[Any]] = []
        self._busy: set[int] = set()
        self._children: dict[int, Child] = {}
        self._nurseries: list[Nursery] = []
        self._nursing = threading.Lock()
        self._deaths: Counter[int] = Counter()
        self._last_error = ""
        self._closed = False
        # Also when nobody holds the pool any more.
        weakref.finalize(self, _kill, self._children, self._nurseries, os.getpid())

    def run(self, job: Job[Result], on_progress: OnProgress = silent) -> Result:
        """Have a job done by a worker, starting one if need be.

        Raises:
            SubprocessError: the worker died; the next call takes another slot, or starts another worker.
            WorkersLostError: no slot is left.
            KeyboardInterrupt: the worker was interrupted, as the kind of job has it.
            TADError: what the worker itself reported.
        """
        slot = self._take(job)
        died = False
        try:
            child = self._child(slot, job)
            result = child.run(job, on_progress)
            self._deaths[slot] = 0
            return result
        except errors.SubprocessError as error:
            self._last_error = str(error)
            died = slot not in self._children  # not even started
            raise
        finally:
            self._give_back(slot, died)

    def rest(self) -> None:
        """End the workers that wait for work, which hold memory: others need it now."""
        with self._changed:
            idle = [slot for slot in self._children if slot not in self._busy]
            children = [self._children.pop(slot) for slot in idle]
        for child in children:
            child.close()
        if not self._children:
            self._close_nursery()

    def close(self) -> None:
        """Kill the workers; finished pieces are on disk."""
        with self._changed:
            self._closed = True
            children = list(self._children.values())
            self._children.clear()
            self._changed.notify_all()
        for child in children:
            child.process.kill()
        for child in children:
            child.close()
        self._close_nursery()

    @property
    def closed(self) -> bool:
        """Whether nothing can be done here any more."""
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def pids(self) -> list[int]:
        """Of the workers that run, by slot."""
        with self._changed:
            return [self._children[slot].process.pid for slot in sorted(self._children)]

    # --- slots ------------------------------------------------------------------------------------------

    def _take(self, job: Job[Any]) -> int:
        with self._changed:
            self._waiting.append(job)
            try:
                while True:
                    if self._closed:
                        raise errors.SubprocessError(f"{job.stage}: the pool of workers is closed")
                    alive = [s for s in range(job.slots) if self._deaths[s] < DEATHS_IN_A_ROW]
                    if not alive:
                        raise errors.WorkersLostError(
                            f"{job.stage}: the workers of every slot died {DEATHS_IN_A_ROW} times in a row, the last "
                            f"with: {self._last_error}"
                        )
                    if (slot := self._choose(job, alive)) is not None:
                        self._busy.add(slot)
                        return slot
                    self._changed.wait()
            finally:
                self._waiting.remove(job)
                self._changed.notify_all()

    def _choose(self, job: Job[Any], slots: list[int]) -> int | None:
        """A free slot: one with the job's model, else an empty one, else one whose model nobody waits for."""
        free = [slot for slot in slots if slot not in self._busy]
        held = {slot: self._children[slot].adapter for slot in free if slot in self._children}
        wanted = {other.adapter for other in self._waiting}
        best = [
            *(slot for slot in free if held.get(slot) == job.adapter),
            *(slot for slot in free if slot not in held),
            *(slot for slot in free if slot in held and held[slot] not in wanted),
        ]
        return best[0] if best else None

    def _give_back(self, slot: int, died: bool) -> None:
        with self._changed:
            child = self._children.get(slot)
            if child is not None and not child.usable:
                del self._children[slot]
                died = True
            else:
                child = None
            self._deaths[slot] += died and not self._closed
        if child is not None:
            child.close()
        with self._changed:
            self._busy.discard(slot)
            self._changed.notify_all()

    def _child(self, slot: int, job: Job[Any]) -> Child:
        """The slot's worker, with the job's model."""
        child = self._children.get(slot)
        if child is not None and child.usable and child.adapter == job.adapter:
            return child
        if child is not None:
            with self._changed:
                self._children.pop(slot, None)
            child.close()
        setup = {
            "model": self._model.model_dump(mode="json"), "adapter": job.adapter, "slot": slot, "slots": job.slots,
        }  # fmt: skip
        if self._shared is not None:
            child = Child.forked(self._shared, {**setup, "slot": slot + self._gpu}, self._on_line)
        elif job.slots > 1 and self._on_a_cpu():
            child = Child.forked(self._fetch_nursery(), setup, self._on_line)
        else:
            child = Child.started(MODULE, environment(self._model.device, slot), setup, self._on_line)
        with self._changed:
            if not self._closed:
                self._children[slot] = child
                return child
        child.close()
        raise errors.SubprocessError(f"{job.stage}: the pool of workers is closed")

    def _fetch_nursery(self) -> Nursery:
        with self._nursing:
            if self._nurseries and not self._nurseries[0].alive:
                self._nurseries.pop().close()
            if not self._nurseries:
                if self._closed:
                    raise errors.SubprocessError("the pool of workers is closed")
                self._nurseries.append(Nursery(MODULE, environment(self._model.device, 0)))
            return self._nurseries[0]

    def _close_nursery(self) -> None:
        with self._nursing:
            while self._nurseries:
                self._nurseries.pop().close()

    def _on_a_cpu(self) -> bool:
        device = self._model.device
        return sys.platform == "linux" and (device == "cpu" or (device == "auto" and not visible_gpus()))


def _kill(children: dict[int, Child], nurseries: list[Nursery], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner that ends must not take them with it
        return
    for child in children.values():
        child.process.kill()
    for nursery in nurseries:
        nursery.close()

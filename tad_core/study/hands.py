"""The processes of a study: so many side by side, each on one of the GPUs in turn, all forks of one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from tad_core.config import ModelConfig
from tad_core.errors import SubprocessError
from tad_core.study.config import Study
from tad_core.workers.devices import cores, environment, threads_per_worker, visible_gpus
from tad_core.workers.nursery import Nursery
from tad_core.workers.pool import MODULE, Pool
from tad_core.workers.trainings import IMPORTS, TrainingForks

#: processes on one GPU: small models leave it idle between their kernels
A_GPU = 12


def hands_of(study: Study) -> int:
    """Processes at once: ``side_by_side``, or twelve for each GPU, or one for each core."""
    if study.config.side_by_side:
        return study.config.side_by_side
    return A_GPU * len(visible_gpus()) if on_gpus(study) else cores()


def on_gpus(study: Study) -> bool:
    """Whether this machine's GPUs are used."""
    return study.run.model.device in ("auto", "cuda") and bool(visible_gpus())


class Hands:
    """Processes side by side, over all GPUs in turn; forks of one that has loaded what they need. A context manager."""

    def __init__(self, study: Study, count: int) -> None:
        self.count, self._device = count, study.run.model.device
        self.threads = threads_per_worker(count)
        self._gpus = len(visible_gpus()) if on_gpus(study) else 0
        self._free: SimpleQueue[int] = SimpleQueue()
        for hand in range(count):
            self._free.put(hand)
        self._lock = threading.Lock()
        self._nursery: Nursery | None = None
        self._pools: set[Pool] = set()
        self.closed = False

    def take(self) -> int:
        """A free hand; there are as many as threads that ask."""
        return self._free.get()

    def give_back(self, hand: int) -> None:
        """It is free again."""
        self._free.put(hand)

    def gpu(self, hand: int) -> int:
        """Which of the visible GPUs it works on."""
        return hand % max(1, self._gpus)

    def nursery(self) -> Nursery:
        """The process that forks, started anew if it has died.

        Raises:
            SubprocessError: the study is being stopped.
        """
        with self._lock:
            if self.closed:
                raise SubprocessError("study: it is being stopped")
            if self._nursery is not None and not self._nursery.alive:
                self._nursery.close()
                self._nursery = None
            if self._nursery is None:
                # With all GPUs visible: each fork chooses its own before it wakes the driver.
                # Every process that compiles would start as many helpers as there are cores.
                helpers = {"TORCHINDUCTOR_COMPILE_THREADS": str(self.threads)}
                env = {"OMP_WAIT_POLICY": "PASSIVE", **helpers, **os.environ}
                self._nursery = Nursery(MODULE, env, IMPORTS)
            return self._nursery

    def trainings(self, hand: int) -> TrainingForks:
        """Starts a training on a hand's GPU."""
        env = environment(self._device, self.gpu(hand)) if self._gpus else {}
        name = "CUDA_VISIBLE_DEVICES"
        return TrainingForks(self.nursery(), {name: env[name]} if name in env else {})

    @contextmanager
    def pool(self, model: ModelConfig, hand: int) -> Iterator[Pool]:
        """A hand's worker with a model, started when it is first used.

        Raises:
            SubprocessError: the study is being stopped.
        """
        with Pool(model, nursery=self.nursery(), gpu=self.gpu(hand)) as pool:
            with self._lock:
                self._pools.add(pool)
            try:
                if self.closed:  # in between, so that nobody has closed this one
                    pool.close()
                yield pool
            finally:
                with self._lock:
                    self._pools.discard(pool)

    def close(self) -> None:
        """End all processes: a training saves a checkpoint first."""
        with self._lock:
            self.closed = True
            # Whoever waits for what other hosts have in hand learns of it by its pool.
            for pool in self._pools:
                pool.close()
            if self._nursery is not None:
                self._nursery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

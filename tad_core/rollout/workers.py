"""Rollout worker processes: each loads the model once and decodes shard after shard.

Parent and worker speak JSON lines over the worker's stdin and stdout. A worker ends when its stdin closes, so
none outlives a parent that was killed. A worker that dies costs the shard in its hands: the caller may ask again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import IO, Any, Protocol, Self, TypeVar

from tad_core import errors
from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.config.marks import with_cost
from tad_core.progress import OnProgress, Progress, silent
from tad_core.rollout.devices import environment, workers_of

#: What a worker process runs.
MODULE = "tad_core.rollout.worker"
#: A slot (a GPU) whose workers died so often in a row is given up; more than one shard is tried.
DEATHS_IN_A_ROW = 5
_LAST_LINES = 15
_NONE_LEFT = (-1, None)
#: Between two looks for a shard, while others work on all that are left.
_LOOK_S = 0.5

OnLine = Callable[[str], None]


class Slice(Protocol):
    """A shard, as ``stages.collection_plan.ShardSpec`` describes it."""

    @property
    def condition(self) -> str:
        """Which problems: all, or those that are compared."""

    @property
    def start(self) -> int:
        """The first."""

    @property
    def stop(self) -> int:
        """The one behind the last."""

    @property
    def name(self) -> str:
        """Name of its files."""


AnyShard = TypeVar("AnyShard", bound=int | Slice)


class _Worker:
    """One child process and the pipes to it."""

    def __init__(
        self, config: TADConfig, store: Store, slot: int, slots: int, on_line: OnLine | None = None
    ) -> None:
        self._timeout_s, self._on_line = config.rollout.shard_timeout_s, on_line
        setup = {"config": config.model_dump(mode="json"), "store": store.root, "slot": slot, "slots": slots}
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE], env=environment(config.model.device, slot),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        self._errors: deque[str] = deque(maxlen=_LAST_LINES)
        assert self.process.stderr is not None
        self._drain = threading.Thread(target=self._read_errors, args=(self.process.stderr,), daemon=True)
        self._drain.start()
        self._waits = True
        self._send(setup)

    def run(self, index: int | Slice, force: bool, on_progress: OnProgress) -> ArtifactRef:
        """Decode one shard; raises what the worker raised, or SubprocessError if it died."""
        self._waits = False
        late = threading.Event()

        def time_is_up() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(self._timeout_s, time_is_up) if self._timeout_s else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            # The slice itself: how this process cuts the collection is nothing that the worker could know.
            shard = index if isinstance(index, int) else (index.condition, index.start, index.stop)
            self._send({"index": shard, "force": force})
            return self._answer(index, on_progress, late)
        finally:
            if timer:
                timer.cancel()

    def _answer(self, index: int | Slice, on_progress: OnProgress, late: threading.Event) -> ArtifactRef:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:  # killed in the middle of a line
                break
            if "progress" in message:
                on_progress(Progress(**message["progress"]))
                continue
            self._waits = True
            if "ref" in message:
                return ArtifactRef.model_validate(message["ref"])
            raise getattr(errors, message["error"], errors.SubprocessError)(message["message"])
        code = self.process.wait()
        if late.is_set():
            raise errors.SubprocessError(
                f"rollout.shard_timeout_s: shard {_name(index)} was not decoded within {self._timeout_s:g} s and its "
                f"worker was killed; raise the limit, or lower {with_cost('rollout.shard_size')}"
            )
        self._drain.join(timeout=5)
        tail = "\n".join(self._errors)
        kind = errors.KilledError if code == -9 else errors.SubprocessError
        if code > 0 and "out of memory" in tail.lower():
            kind = errors.OutOfMemoryError
        raise kind(
            f"rollout worker ended with code {code} while decoding shard {_name(index)}; its last lines:\n{tail}"
        )

    def close(self) -> None:
        """End the process; what it was writing stays invisible."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            # What the dead process never read is still in the buffer of its stdin.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    @property
    def usable(self) -> bool:
        """Whether it runs and has answered: one whose listener failed in the middle has answers yet to come."""
        return self._waits and self.process.poll() is None

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            # Dead: reading its output, which is next, says with what code and last words.
            return

    def _read_errors(self, stream: IO[str]) -> None:
        for line in stream:
            self._errors.append(line.rstrip())
            if self._on_line is not None:
                self._on_line(line.rstrip())


class RolloutPool:
    """``size`` workers; ``run`` may be called from any thread and takes the next free one.

    Each has a slot, on a machine with GPUs one of them; a worker that died is replaced when its slot is next used,
    until ``DEATHS_IN_A_ROW`` of a slot have died with nothing done in between.
    """

    def __init__(
        self, config: TADConfig, store: Store, size: int | None = None, on_line: OnLine | None = None
    ) -> None:
        self._config, self._store, self._on_line = config, store, on_line
        self.size = max(1, size or workers_of(config))
        self._free: queue.Queue[tuple[int, _Worker | None]] = queue.Queue()
        for slot in range(self.size):
            self._free.put((slot, None))
        self._lock = threading.Lock()
        self._live: set[_Worker] = set()
        self._deaths: Counter[int] = Counter()
        self._last_error = ""
        self._closed = False

    def run(self, index: int | Slice, on_progress: OnProgress = silent, force: bool = False) -> ArtifactRef:
        """Decode a shard in a worker, starting one if need be: a slice of the problems, or its place in a plan made
        without a store.

        Raises:
            SubprocessError: the worker died; the next call takes another slot, or starts another worker.
            WorkersLostError: no slot is left.
            TADError: what the worker itself reported.
        """
        slot, worker = self._free.get()
        if slot < 0:
            self._free.put(_NONE_LEFT)
            raise errors.WorkersLostError(
                f"rollout: the workers of every slot died {DEATHS_IN_A_ROW} times in a row, the last with: "
                f"{self._last_error}"
            )
        try:
            if worker is None or not worker.usable:
                worker = self._start(slot)
            ref = worker.run(index, force, on_progress)
            self._deaths[slot] = 0
            return ref
        except errors.SubprocessError as error:
            self._last_error = str(error)
            raise
        finally:
            if worker is not None and not worker.usable:
                worker.close()
                with self._lock:
                    self._live.discard(worker)
                    self._deaths[slot] += not self._closed
                worker = None
            self._give_back(slot, worker)

    def _give_back(self, slot: int, worker: _Worker | None) -> None:
        with self._lock:
            if self._deaths[slot] < DEATHS_IN_A_ROW:
                self._free.put((slot, worker))
            elif all(self._deaths[s] >= DEATHS_IN_A_ROW for s in range(self.size)):
                self._free.put(_NONE_LEFT)

    def run_all(
        self, indices: Iterable[AnyShard | None], on_progress: OnProgress = silent, force: bool = False
    ) -> Iterator[tuple[AnyShard, ArtifactRef]]:
        """All shards, yielded as they finish; a failure is raised once its siblings have ended.

        ``indices``, of what ``run`` takes, is asked for the next only when a worker is free; None means that there
        is none now. A caller that stops taking results, by Ctrl-C say, closes the pool.
        """
        failures: list[BaseException] = []
        pending: dict[Future[ArtifactRef], AnyShard] = {}
        source, more = iter(indices), True
        with ThreadPoolExecutor(self.size) as threads:
            try:
                while True:
                    wait_for: float | None = None
                    while more and len(pending) < self.size:
                        try:
                            index = next(source)
                        except StopIteration:
                            more = False
                            break
                        if index is None:
                            wait_for = _LOOK_S
                            break
                        pending[threads.submit(self.run, index, on_progress, force)] = index
                    if not pending:
                        if not more:
                            break
                        time.sleep(_LOOK_S)
                        continue
                    finished, _ = wait(pending, wait_for, return_when=FIRST_COMPLETED)
                    for future in finished:
                        index = pending.pop(future)
                        if (error := future.exception()) is not None:
                            failures.append(error)
                        else:
                            yield index, future.result()
            except BaseException:
                # Interrupted, or nobody takes the results any more: what has not begun must not begin.
                for future in pending:
                    future.cancel()
                self.close()
                raise
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Kill the workers; finished shards are on disk."""
        with self._lock:
            self._closed = True
            for worker in self._live:
                worker.close()
            self._live.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, slot: int) -> _Worker:
        with self._lock:
            if self._closed:
                raise errors.SubprocessError("the rollout pool is closed")
            worker = _Worker(self._config, self._store, slot, self.size, self._on_line)
            self._live.add(worker)
        return worker


def _name(index: int | Slice) -> str:
    return str(index) if isinstance(index, int) else index.name


def threads_per_worker(slots: int) -> int:
    """CPU threads of each of ``slots`` workers: the cores shared out, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // slots)

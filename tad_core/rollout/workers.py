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
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import IO, Any, Self

from tad_core import errors
from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.progress import OnProgress, Progress, silent

_LAST_LINES = 15


class _Worker:
    """One child process and the pipes to it."""

    def __init__(self, config: TADConfig, store: Store, slot: int, slots: int) -> None:
        setup = {"config": config.model_dump(mode="json"), "store": store.root, "slot": slot, "slots": slots}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tad_core.rollout.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._errors: deque[str] = deque(maxlen=_LAST_LINES)
        assert self.process.stderr is not None
        self._drain = threading.Thread(target=self._read_errors, args=(self.process.stderr,), daemon=True)
        self._drain.start()
        self._waits = True
        self._send(setup)

    def run(self, index: int, force: bool, on_progress: OnProgress) -> ArtifactRef:
        """Decode one shard; raises what the worker raised, or SubprocessError if it died."""
        self._waits = False
        self._send({"index": index, "force": force})
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if "progress" in message:
                on_progress(Progress(**message["progress"]))
                continue
            self._waits = True
            if "ref" in message:
                return ArtifactRef.model_validate(message["ref"])
            raise getattr(errors, message["error"], errors.SubprocessError)(message["message"])
        code = self.process.wait()
        self._drain.join(timeout=5)
        tail = "\n".join(self._errors)
        kind = (
            errors.OutOfMemoryError
            if code == -9 or "out of memory" in tail.lower()
            else errors.SubprocessError
        )
        raise kind(
            f"rollout worker ended with code {code} while decoding shard {index}; its last lines:\n{tail}"
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


class RolloutPool:
    """``size`` workers; ``run`` may be called from any thread and takes the next free one."""

    def __init__(self, config: TADConfig, store: Store, size: int | None = None) -> None:
        self._config, self._store = config, store
        self.size = max(1, size or config.rollout.workers)
        self._free: queue.Queue[tuple[int, _Worker | None]] = queue.Queue()
        for slot in range(self.size):
            self._free.put((slot, None))
        self._lock = threading.Lock()
        self._live: set[_Worker] = set()
        self._closed = False

    def run(self, index: int, on_progress: OnProgress = silent, force: bool = False) -> ArtifactRef:
        """Decode shard ``index`` in a worker, starting one if need be.

        Raises:
            SubprocessError: the worker died; the next call starts another.
            TADError: what the worker itself reported.
        """
        slot, worker = self._free.get()
        try:
            if worker is None or not worker.usable:
                worker = self._start(slot)
            return worker.run(index, force, on_progress)
        finally:
            if worker is not None and not worker.usable:
                worker.close()
                with self._lock:
                    self._live.discard(worker)
                worker = None
            self._free.put((slot, worker))

    def run_all(
        self, indices: Sequence[int], on_progress: OnProgress = silent, force: bool = False
    ) -> Iterator[tuple[int, ArtifactRef]]:
        """All shards, yielded as they finish; a failure is raised once its siblings have ended.

        A caller that stops taking results, by Ctrl-C say, closes the pool.
        """
        failures: list[BaseException] = []
        with ThreadPoolExecutor(self.size) as threads:
            pending: dict[Future[ArtifactRef], int] = {
                threads.submit(self.run, i, on_progress, force): i for i in indices
            }
            try:
                while pending:
                    finished, _ = wait(pending, return_when=FIRST_COMPLETED)
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
            worker = _Worker(self._config, self._store, slot, self.size)
            self._live.add(worker)
        return worker


def threads_per_worker(slots: int) -> int:
    """CPU threads of each of ``slots`` workers: the cores shared out, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // slots)

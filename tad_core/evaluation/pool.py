"""Decoding on several GPUs: one process for each holds the model from the first way of a sweep to the last.

A process is a fresh interpreter that sees no GPU but its own. Batches are planned once over all prompts, exactly as
one process on one GPU plans them, and go one at a time to whoever is free: which prompts run together, and so every
rounding, is the same for one GPU and for eight, and a faster GPU takes more of them. Parent and child talk in plain
data over a socket; a child ends when it closes, so that none outlives a parent that was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from tad_core import errors
from tad_core.config import ModelConfig
from tad_core.decoding import Decoded, DecodeSpec, plan_batches
from tad_core.evaluation.processes import serve
from tad_core.models.batching import at_once
from tad_core.progress import OnProgress, silent
from tad_core.rollout.devices import environment
from tad_core.rollout.workers import threads_per_worker

#: What a process runs, and the device it loads the model on: the one GPU it sees.
MODULE = "tad_core.evaluation.worker"
DEVICE = "cuda"
_LAST_LINES = 15


class _Child:
    """One process: the socket to it, the GPU it sees, and what it and its libraries printed."""

    def __init__(self, device: str, slot: int) -> None:
        env = environment(device, slot)
        self.gpu = env.get("CUDA_VISIBLE_DEVICES", str(slot))
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process is)
        self.connection, theirs = Pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(theirs.fileno()), str(os.getpid())], env=env, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=self._printed, stderr=subprocess.STDOUT,
        )  # fmt: skip
        theirs.close()

    def death(self) -> BaseException:
        """What its end means."""
        code = self.process.wait()
        if code == -signal.SIGINT:
            return KeyboardInterrupt()
        where = f"evaluate: the decoding process of GPU {self.gpu}"
        if code == -signal.SIGKILL:
            return errors.KilledError(
                f"{where} was killed, most likely for want of the host's memory; lower evaluate.workers"
            )
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
        return errors.SubprocessError("\n".join([f"{where} ended with code {code}; its last lines:", *lines]))


class GpuPool:
    """``size`` processes with the model loaded, each on a GPU of its own; after a failure none is left."""

    def __init__(self, model: ModelConfig, adapter: Path | None, size: int) -> None:
        """Start them and wait until all have loaded.

        Args:
            model: the checkpoint; its device is ``auto`` or ``cuda``.
            adapter: folder of an adapter.
            size: how many; at most as many as there are visible GPUs.

        Raises:
            ModelError: when the checkpoint or the adapter cannot be used.
            KilledError, SubprocessError, KeyboardInterrupt: see ``decode``.
            OutOfMemoryError: the model does not fit on its GPU.
        """
        self._children: dict[Connection, _Child] = {}
        #: ends the processes; called also when the interpreter ends or nobody holds the pool any more
        self.close = weakref.finalize(self, _close, self._children, os.getpid())
        setup = {
            "model": {**model.model_dump(mode="json"), "device": DEVICE},
            "adapter": str(adapter) if adapter else None,
            "threads": model.threads or threads_per_worker(size),
        }
        with self._ended_on_failure():
            for slot in range(size):
                child = _Child(model.device, slot)
                self._children[child.connection] = child
            device_types = dict(serve(list(self._children), size, lambda i: (i, setup), self._death, size))
        self._device_type = "cpu" if "cpu" in device_types.values() else "cuda"

    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        spec: DecodeSpec,
        batch_size: int,
        on_progress: OnProgress = silent,
    ) -> list[Decoded]:
        """As ``decoding.decode`` on one GPU, batch by batch; results in the order of ``prompts``.

        Raises:
            OutOfMemoryError: not even one prompt fits on its GPU.
            KilledError: a process was killed.
            SubprocessError: a process died or failed for a reason of its own.
            KeyboardInterrupt: a process was interrupted.
            TADError: whatever ``decode`` raises.
        """
        assert self.close.alive, "the pool is closed"
        batches = plan_batches([len(p) for p in prompts], at_once(self._device_type, batch_size))
        results: list[Decoded | None] = [None] * len(prompts)

        def job(index: int) -> tuple[int, Any]:
            return index, {"spec": asdict(spec), "prompts": [list(prompts[i]) for i in batches[index]]}

        with self._ended_on_failure():
            for index, rows in serve(
                list(self._children), len(batches), job, self._death, len(prompts), on_progress
            ):
                for i, row in zip(batches[index], rows, strict=True):
                    results[i] = Decoded(**row)
        return [r for r in results if r is not None]

    def _death(self, connection: Connection) -> BaseException:
        return self._children[connection].death()

    @contextlib.contextmanager
    def _ended_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


def _close(children: dict[Connection, _Child], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner that ends must not take them with it
        return
    for child in children.values():
        child.process.kill()
    for child in children.values():
        child.process.wait()
        child.connection.close()
    children.clear()

"""Decoding on the cores of a CPU: forked processes of one thread each share the model's memory.

Matrix products of one sample are too small to split well: two processes of one thread do about half as much again
as one process of two threads, and far more on a machine that is busy with something else, where threads wait
for each other at every product. A fork costs milliseconds and needs no second model; the children live for one
call and decode with one thread, which is what makes a fork after threads were used safe. Results do not depend
on the number of processes. How batches are given out and answered is shared with the processes of GPUs (``pool.py``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import torch

from tad_core import errors
from tad_core.decoding import Decoded, DecodeSpec, decode, plan_batches
from tad_core.fitting import Fitting, tell
from tad_core.models.base import DiffusionLM
from tad_core.models.batching import at_once
from tad_core.progress import OnProgress, Progress, silent
from tad_core.signals import take_over

_ORPHAN_CHECK_S = 1.0


def worker_count(wanted: int, threads: int | None, device: torch.device) -> int:
    """How many processes decode: ``wanted``, or one per core (or per configured thread) if that is 0.

    A GPU is never shared: several are driven by the processes of ``pool.py``, one by this process alone; so is a CPU
    of a system where forking is not safe.
    """
    if device.type != "cpu" or sys.platform != "linux":
        return 1
    return wanted or threads or len(os.sched_getaffinity(0))


def decode_forked(
    model: DiffusionLM,
    prompts: Sequence[Sequence[int]],
    spec: DecodeSpec,
    workers: int,
    on_progress: OnProgress = silent,
) -> list[Decoded]:
    """As ``decode``, on ``workers`` processes, to which prompts are given one by one; not to be used once a GPU was.

    Raises:
        SubprocessError: a process died or failed for a reason of its own.
        KeyboardInterrupt: a process was interrupted.
        TADError: whatever ``decode`` raises.
    """
    batches = plan_batches([len(p) for p in prompts], at_once("cpu", len(prompts)))
    workers = min(workers, len(batches))
    if workers <= 1:
        return decode(model, prompts, spec, on_progress=on_progress)
    children: dict[Connection, Any] = {}
    results: list[Decoded | None] = [None] * len(prompts)
    try:
        for _ in range(workers):
            ours, process = _start(model, prompts, spec, batches)
            children[ours] = process
        for index, decoded in serve(
            list(children),
            len(batches),
            lambda i: i,
            lambda c: _death(children[c]),
            len(prompts),
            on_progress,
        ):
            for i, one in zip(batches[index], decoded, strict=True):
                results[i] = one
    finally:
        for connection, process in children.items():
            process.kill()
            process.join()
            connection.close()
    return [r for r in results if r is not None]


def _start(
    model: DiffusionLM, prompts: Sequence[Sequence[int]], spec: DecodeSpec, batches: list[list[int]]
) -> tuple[Connection, Any]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, os.getpid(), model, prompts, spec, batches), daemon=True
    )
    process.start()
    theirs.close()
    return ours, process


def serve(
    children: Sequence[Connection],
    batches: int,
    job: Callable[[int], Any],
    death: Callable[[Connection], BaseException],
    samples: int,
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, Any]]:
    """Give out batches in their order, the next to whoever is free, until all are answered.

    A child says ``("finished", n)`` of its samples, ``("warning", text)`` of what the user should know, at last
    ``("answer", (index, anything))``, or ``("error", (name, message))``.

    Args:
        children: of idle processes.
        batches: how many there are.
        job: what a process is sent for a batch's index.
        death: the error to raise once a process is gone.
        samples: of all batches together.
        on_progress: told how many of them are done.

    Yields:
        Index of a batch and its answer, as they come.
    """
    waiting = list(range(batches))[::-1]
    busy: list[Connection] = []
    done = 0

    def employ(child: Connection) -> None:
        try:
            child.send(job(waiting.pop()))
        except ConnectionError:
            raise death(child) from None
        busy.append(child)

    for child in children[:batches]:
        employ(child)
    while busy:
        for ready in wait(busy):
            child = cast(Connection, ready)
            try:
                kind, payload = child.recv()
            except (EOFError, ConnectionError):
                raise death(child) from None
            if kind == "finished":
                done += payload
                on_progress(Progress("decode", done, samples))
            elif kind == "warning":
                tell(payload)
            elif kind == "error":
                name, message = payload
                raise getattr(errors, name, errors.SubprocessError)(message)
            else:
                busy.remove(child)
                if waiting:
                    employ(child)
                yield payload


def decode_batch(
    child: Connection,
    model: DiffusionLM,
    prompts: Sequence[Sequence[int]],
    spec: DecodeSpec,
    fitting: Fitting | None = None,
) -> list[Decoded]:
    """Decode one batch, as it was planned if it fits, telling the parent of samples as they finish."""
    finished = 0

    def report(progress: Progress) -> None:
        nonlocal finished
        child.send(("finished", progress.done - finished))
        finished = progress.done

    return decode(model, prompts, spec, len(prompts), report, fitting)


def tell_failure(child: Connection, error: Exception) -> None:
    """Report what ``serve`` is to raise."""
    if isinstance(error, errors.TADError):
        child.send(("error", (type(error).__name__, str(error))))
        return
    trace = "".join(traceback.format_exception(error))
    child.send(("error", ("SubprocessError", f"evaluate: decoding failed:\n{trace}")))


def _death(process: Any) -> BaseException:
    process.join()
    if process.exitcode == -signal.SIGINT:
        return KeyboardInterrupt()
    if process.exitcode == -signal.SIGKILL:
        return errors.KilledError(
            "evaluate: a decoding process was killed, most likely for want of memory; lower evaluate.workers"
        )
    return errors.SubprocessError(f"evaluate: a decoding process ended with code {process.exitcode}")


def _work(
    connection: Connection,
    parent: int,
    model: DiffusionLM,
    prompts: Sequence[Sequence[int]],
    spec: DecodeSpec,
    batches: list[list[int]],
) -> None:
    """The child: decode the batches it is told, until it is killed or its parent is gone."""
    # Ctrl-C reaches every process of the terminal: dying of it tells a parent that waits in another thread.
    take_over(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    try:
        while (index := _next(connection, parent)) is not None:
            decoded = decode_batch(connection, model, [prompts[i] for i in batches[index]], spec)
            connection.send(("answer", (index, decoded)))
    except (BrokenPipeError, EOFError):
        return
    except Exception as error:
        tell_failure(connection, error)


def _next(connection: Connection, parent: int) -> int | None:
    """The next batch; None once the parent is gone."""
    while not connection.poll(_ORPHAN_CHECK_S):
        if os.getppid() != parent:
            return None
    index: int = connection.recv()
    return index

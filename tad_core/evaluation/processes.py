"""Decoding on the cores of a CPU: forked processes of one thread each share the model's memory.

Matrix products of one sample are too small to split well: two processes of one thread do about half as much again
as one process of two threads, and far more on a machine that is busy with something else, where threads wait
for each other at every product. A fork costs milliseconds and needs no second model; the children live for one
call and decode with one thread, which is what makes a fork after threads were used safe. Results do not depend
on the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import torch

from tad_core import errors
from tad_core.decoding import Decoded, DecodeSpec, decode, plan_batches
from tad_core.models.base import DiffusionLM
from tad_core.progress import OnProgress, Progress, silent

#: Batches for each process, at least, so that all end at about the same time.
_BATCHES_EACH = 4
_ORPHAN_CHECK_S = 1.0


def worker_count(wanted: int, threads: int | None, device: torch.device) -> int:
    """How many processes decode: ``wanted``, or one per core (or per configured thread) if that is 0.

    A GPU is always driven by this process alone; so is a CPU of a system where forking is not safe.
    """
    if device.type != "cpu" or sys.platform != "linux":
        return 1
    return wanted or threads or len(os.sched_getaffinity(0))


def decode_forked(
    model: DiffusionLM,
    prompts: Sequence[Sequence[int]],
    spec: DecodeSpec,
    batch_size: int,
    workers: int,
    on_progress: OnProgress = silent,
) -> list[Decoded]:
    """As ``decode``, on ``workers`` processes; must not be used once a GPU was.

    Raises:
        SubprocessError: a process died or failed for a reason of its own.
        KeyboardInterrupt: a process was interrupted.
        TADError: whatever ``decode`` raises.
    """
    share = -(-len(prompts) // (workers * _BATCHES_EACH))
    batches = plan_batches([len(p) for p in prompts], max(1, min(batch_size, share)), equal_lengths=True)
    workers = min(workers, len(batches))
    if workers <= 1:
        return decode(model, prompts, spec, batch_size, on_progress)
    children: dict[Connection, Any] = {}
    results: list[Decoded | None] = [None] * len(prompts)
    try:
        for _ in range(workers):
            ours, process = _start(model, prompts, spec, batches)
            children[ours] = process
        for done in _serve(children, batches, results):
            on_progress(Progress("decode", done, len(prompts)))
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


def _serve(
    children: dict[Connection, Any], batches: list[list[int]], results: list[Decoded | None]
) -> Iterator[int]:
    """Hand out batches and take results until all are there; yields how many samples are done."""
    waiting = list(range(len(batches)))[::-1]
    done = 0
    busy = list(children)
    for connection in busy:
        connection.send(waiting.pop())
    while busy:
        for ready in wait(busy):
            connection = cast(Connection, ready)
            try:
                kind, payload = connection.recv()
                if kind == "batch":
                    following = waiting.pop() if waiting else None
                    connection.send(following)
                    if following is None:  # it ends now, which is no failure
                        busy.remove(connection)
            except (EOFError, ConnectionError):
                raise _death(children[connection]) from None
            if kind == "finished":
                done += payload
                yield done
            elif kind == "error":
                name, message = payload
                raise getattr(errors, name, errors.SubprocessError)(message)
            else:
                index, decoded = payload
                for i, one in zip(batches[index], decoded, strict=True):
                    results[i] = one


def _death(process: Any) -> BaseException:
    process.join()
    if process.exitcode == -signal.SIGINT:
        return KeyboardInterrupt()
    if process.exitcode == -signal.SIGKILL:
        return errors.OutOfMemoryError(
            "evaluate: a decoding process was killed, most likely for want of memory; lower "
            "evaluate.batch_size or evaluate.workers"
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
    """The child: decode the batches it is told, until it is told None or its parent is gone."""
    # Ctrl-C reaches every process of the terminal: dying of it tells a parent that waits in another thread.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    finished = 0

    def tell(progress: Progress) -> None:
        nonlocal finished
        connection.send(("finished", progress.done - finished))
        finished = progress.done

    try:
        while (index := _next(connection, parent)) is not None:
            finished = 0
            chosen = [prompts[i] for i in batches[index]]
            connection.send(("batch", (index, decode(model, chosen, spec, len(chosen), tell))))
    except errors.TADError as error:
        connection.send(("error", (type(error).__name__, str(error))))
    except (BrokenPipeError, EOFError):
        return
    except Exception:
        connection.send(
            ("error", ("SubprocessError", f"evaluate: decoding failed:\n{traceback.format_exc()}"))
        )


def _next(connection: Connection, parent: int) -> int | None:
    """The next batch; None at the end, also when the parent was killed."""
    while not connection.poll(_ORPHAN_CHECK_S):
        if os.getppid() != parent:
            return None
    index: int | None = connection.recv()
    return index

"""Start a training run as a child process, watch it, and say in our own terms how it ended.

The child dies with its parent: ``setpriv`` where the system has it (it also covers torchrun, whose ranks then
follow), and the request the child makes of the kernel itself. It stays in the parent's process group, so that
Ctrl-C and a cancelled flow reach it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Protocol

import psutil  # type: ignore[import-untyped]

from tad_core import errors
from tad_core.config.marks import with_cost
from tad_core.errors import BatchMemoryError, KilledError, OutOfMemoryError, SubprocessError, TADError
from tad_core.presence import make_folder
from tad_core.training.command import check_settings, command_for, guarded
from tad_core.training.exits import (
    CHILD_VARIABLE,
    ERROR_PREFIX,
    EXIT_INTERRUPTED,
    EXIT_OUT_OF_MEMORY,
    STOPPED,
    parent_tag,
)
from tad_core.training.folder import alone
from tad_core.training.invitation import invitation
from tad_core.training.spec import TrainingSpec, write_spec

__all__ = ["command_for", "explain", "guarded", "launch", "stop", "watch"]

#: seconds between the polite request and the kill, for a step to end and a checkpoint to be written; Prefect kills a
#: cancelled run after 30
GRACE_S = 20.0
#: between two looks for a child that was asked to end
_LOOK_S = 0.05
_TAIL_LINES = 20
#: how torchrun (of the first to fail) and deepspeed say that a process ended by SIGKILL
_RANK_KILLED = re.compile(r"Root Cause(?s:.*)exitcode\s*:\s*-9\b|exits with return code = -9\b")

OnLine = Callable[[str], None]


class Process(Protocol):
    """What is needed of the process that trains, started or forked."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def stdout(self) -> IO[str] | None:
        """What it says, with its errors in between."""

    def poll(self) -> int | None:
        """Its exit code once it has ended; negative for a signal."""

    def wait(self) -> int:
        """Its exit code."""

    def terminate(self) -> None:
        """Ask it to end."""


#: Start a command with these variables in its environment and these files held open.
Start = Callable[[list[str], dict[str, str], Sequence[int]], Process]


def launch(spec: TrainingSpec, on_line: OnLine | None = None, start: Start | None = None) -> Path:
    """Run a spec to its end; returns its output folder.

    Where memory runs out, the micro-batch is halved and the run goes on from its newest checkpoint: the global batch
    stays, and with it the result but for rounding and the draws of dropout.

    The whole output of the child goes to ``train.log`` in that folder, and line by line to ``on_line``. Of several
    adapters in one pass, the first one's folder has it. ``start`` starts the child otherwise than as a fresh process.

    Raises:
        ConfigError: the settings or the input are wrong; a second try gives the same.
        OutOfMemoryError: device or host memory holds the model, but not a single state beside it.
        KilledError: a process was killed from outside.
        TrainingError: a gradient or the loss is not finite.
        SubprocessError: anything else, with the last lines of the log; also a timeout, and a child that was told
            to stop. Checkpoints stay, so the next call goes on from the newest.
    """
    output = Path(spec.output)
    make_folder(output)
    spec_file, log_file = output / "spec.json", output / "train.log"
    check_settings(spec.distill)
    write_spec(with_absolute_paths(spec), spec_file)
    with alone([run.output for run in spec.adapters]) as locks, invitation(spec, output) as seat:
        if on_line is not None and seat is not None and spec.distill.hostfile is None:
            on_line(
                f"waiting for {spec.distill.nodes - 1} more hosts: `tad join` on each, on the same store ({output})"
            )
        while True:
            command = command_for(spec, spec_file, seat)
            try:
                watch(command, log_file, spec.distill.timeout_s, on_line, keep_open=locks, start=start)
                return output
            except BatchMemoryError as error:
                spec = _with_smaller_batches(spec, str(error))
                write_spec(with_absolute_paths(spec), spec_file)
                if on_line is not None:
                    on_line(
                        f"warning: {error}; going on with distill.micro_batch_size {spec.distill.micro_batch_size}, "
                        "with the same global batch"
                    )


def _with_smaller_batches(spec: TrainingSpec, said: str) -> TrainingSpec:
    """The same run with half the states a forward, or fewer where half does not divide the global batch.

    Raises:
        OutOfMemoryError: there is one already, or other hosts have the spec, too.
    """
    config = spec.distill
    tried, share = config.micro_batch_size, config.global_batch_size // (config.processes * config.nodes)
    if tried == 1:
        raise OutOfMemoryError(
            f"{said} with distill.micro_batch_size 1 and responses of {spec.response_length} tokens on "
            f"{spec.model.path}; set {with_cost('distill.gradient_checkpointing')}, shorten "
            f"{with_cost('rollout.response_length')}, or use a GPU with more memory"
        )
    if config.nodes > 1:
        raise OutOfMemoryError(
            f"{said} with distill.micro_batch_size {tried}; lower {with_cost('distill.micro_batch_size')}, or set "
            f"{with_cost('distill.gradient_checkpointing')}, and start every host again: on several it is not lowered "
            "by itself"
        )
    size = next(n for n in range(tried // 2, 0, -1) if share % n == 0)
    # The identity of the run is what was asked for: its checkpoints are good for every micro-batch.
    smaller = config.model_copy(update={"micro_batch_size": size})
    return spec.model_copy(update={"run_id": spec.mark, "distill": smaller})


def with_absolute_paths(spec: TrainingSpec) -> TrainingSpec:
    """The spec with paths of settings that mean the same in every working folder."""
    config = spec.distill
    changes = {n: str(Path(p).resolve()) for n in ("deepspeed", "hostfile") if (p := getattr(config, n))}
    return spec.model_copy(update={"distill": config.model_copy(update=changes)})


def watch(
    command: list[str],
    log_file: Path,
    timeout_s: float | None = None,
    on_line: OnLine | None = None,
    keep_open: Sequence[int] = (),
    folder: str | None = None,
    start: Start | None = None,
) -> None:
    """Run a command to its end, its output teed; raises what ``launch`` raises.

    ``keep_open`` are file descriptors that the child inherits; ``folder`` is where it works, if it is a fresh process;
    ``start`` starts it otherwise.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    reported: list[str] = []
    late = threading.Event()
    if start is not None:
        process = start(command, _environment(), keep_open)
    else:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(),
            pass_fds=keep_open,
            cwd=folder,
        )

    def time_is_up() -> None:
        late.set()
        stop(process)

    timer = threading.Timer(timeout_s, time_is_up) if timeout_s else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        assert process.stdout is not None, "it was asked for"
        with log_file.open("a", buffering=1, encoding="utf-8") as log:  # whole lines, at once
            _tee(process.stdout, log_file, log.write, tail, reported, on_line)
        status = process.wait()
    finally:
        if timer:
            timer.cancel()
        stop(process)
    if status == 0:
        return  # in time or not
    if late.is_set():
        raise SubprocessError(
            f"distill.timeout_s: training did not end within {timeout_s:g} s and was stopped; its checkpoints are "
            f"kept: run again to go on, or raise the limit (log: {log_file})"
        )
    raise explain(status, tail, reported, log_file)


def _tee(
    lines: Iterable[str],
    log_file: Path,
    write: Callable[[str], object],
    tail: deque[str],
    reported: list[str],
    on_line: OnLine | None,
) -> None:
    for line in lines:
        write(line)
        text = line.rstrip("\n")
        if ERROR_PREFIX in text:
            reported.append(text.partition(ERROR_PREFIX)[2])
            continue
        tail.append(text)
        if on_line is not None:
            on_line(text)


def explain(status: int, tail: Iterable[str], reported: list[str], log_file: Path) -> TADError:
    """The error that an exit status and the child's own report stand for."""
    if told := _told(reported, log_file):
        return told
    if status == EXIT_OUT_OF_MEMORY:
        return BatchMemoryError(f"training ran out of memory (log: {log_file})")
    if status == EXIT_INTERRUPTED:
        return SubprocessError(STOPPED)
    last = "\n".join(tail)
    if status in (-9, 137) or _RANK_KILLED.search(last):  # nobody here sends SIGKILL before the timer does
        return KilledError(
            "training was killed (SIGKILL), which is what the system does when host memory runs out; lower "
            f"{with_cost('distill.micro_batch_size')} (log: {log_file}), last lines:\n{last}"
        )
    return SubprocessError(f"training ended with status {status} (log: {log_file}), last lines:\n{last}")


def _told(reported: list[str], log_file: Path) -> TADError | None:
    """What the processes said of themselves; the most telling of it, since one that fails takes others with it."""
    found: list[TADError] = []
    for text in reported:
        with contextlib.suppress(ValueError, KeyError):
            report = json.loads(text)
            message = report["message"]
            if report["kind"] == "BatchMemoryError":
                message = f"training ran out of memory ({message}; log: {log_file})"
            kind = getattr(errors, report["kind"], SubprocessError)
            found.append(kind(message) if issubclass(kind, TADError) else SubprocessError(message))
    plain = [error for error in found if type(error) is SubprocessError]
    telling = [error for error in found if type(error) is not SubprocessError]
    return next(iter([*telling, *plain]), None)


def stop(process: Process, grace_s: float = GRACE_S) -> None:
    """Ask a child and all it started to end, and kill what is left after ``grace_s``."""
    if process.poll() is not None:
        return
    try:
        root = psutil.Process(process.pid)
        family = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    end = time.monotonic() + grace_s
    # Not by psutil: it would take the child's status, and leave 0 for whoever asks next.
    while process.poll() is None and time.monotonic() < end:
        time.sleep(_LOOK_S)
    _, alive = psutil.wait_procs(family, timeout=max(0.0, end - time.monotonic()))
    for survivor in [*alive, *([root] if process.poll() is None else [])]:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    process.wait()


def _environment() -> dict[str, str]:
    """The parent's, and what makes the child find this package and speak line by line."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        # OpenMP threads that spin at every barrier are several times slower where anything else runs beside them.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        CHILD_VARIABLE: parent_tag(),
    }

"""One worker process as its parent sees it: the pipes to it, and what its end means."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import IO, Any, Protocol, Self

from tad_core import errors
from tad_core.progress import OnProgress, Progress
from tad_core.workers.jobs import Job, Result
from tad_core.workers.nursery import Nursery

_LAST_LINES = 15

OnLine = Callable[[str], None]


class Process(Protocol):
    """What is needed of a process, started or forked."""

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """Its exit code once it has ended; negative for a signal."""

    def wait(self) -> int:
        """Its exit code."""

    def kill(self) -> None:
        """At once."""


class Child:
    """A worker process; ``adapter`` says which model it holds."""

    def __init__(
        self,
        process: Process,
        pipes: tuple[IO[str], IO[str], IO[str]],
        setup: dict[str, Any],
        place: str,
        on_line: OnLine | None,
    ) -> None:
        self.process, self.adapter = process, setup["adapter"]
        self._stdin, self._stdout, self._stderr = pipes
        self._place, self._on_line = place, on_line
        self._errors: deque[str] = deque(maxlen=_LAST_LINES)
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()
        self._waits = True
        self._send(setup)

    @classmethod
    def started(cls, module: str, env: dict[str, str], setup: dict[str, Any], on_line: OnLine | None) -> Self:
        """A fresh interpreter that runs ``module``."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(os.getpid())], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        gpu = env.get("CUDA_VISIBLE_DEVICES") if setup["model"]["device"] in ("auto", "cuda") else None
        place = f" of GPU {gpu}" if gpu else ""
        return cls(process, (process.stdin, process.stdout, process.stderr), setup, place, on_line)

    @classmethod
    def forked(cls, nursery: Nursery, setup: dict[str, Any], on_line: OnLine | None) -> Self:
        """A fork of the nursery.

        Raises:
            TADError: see ``Nursery.fork``.
        """
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        pipes = (
            os.fdopen(ours_in, "w", encoding="utf-8"),
            os.fdopen(ours_out, encoding="utf-8", errors="replace"),
            os.fdopen(ours_err, encoding="utf-8", errors="replace"),
        )
        theirs = (theirs_in, theirs_out, theirs_err)
        try:
            process = nursery.fork(setup, theirs)
        except BaseException:
            for pipe in pipes:
                pipe.close()
            raise
        finally:
            for end in theirs:
                os.close(end)
        return cls(process, pipes, setup, "", on_line)

    def run(self, job: Job[Result], on_progress: OnProgress) -> Result:
        """Have a job done; raises what the process raised, or what its death means."""
        self._waits = False
        late = threading.Event()

        def time_is_up() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(job.timeout_s, time_is_up) if job.timeout_s else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            self._send(job.message())
            return self._answer(job, on_progress, late)
        finally:
            if timer:
                timer.cancel()
                timer.join()
                # Its time may have run out while the answer came: that is good, but the process is about to be dead.
                self._waits = self._waits and not late.is_set()

    def _answer(self, job: Job[Result], on_progress: OnProgress, late: threading.Event) -> Result:
        for line in self._stdout:
            try:
                message = json.loads(line)
            except ValueError:  # killed in the middle of a line
                break
            if "progress" in message:
                on_progress(Progress(**message["progress"]))
            elif "warning" in message:
                from tad_core.fitting import tell  # it loads torch, which whoever evaluates has loaded

                tell(message["warning"])
            else:
                self._waits = True
                if "answer" in message:
                    return job.result(message["answer"])
                raise getattr(errors, message["error"], errors.SubprocessError)(message["message"])
        code = self.process.wait()
        if late.is_set():
            raise job.late()
        self._drain.join(timeout=5)
        raise job.death(code, self._place, "\n".join(self._errors))

    def close(self) -> None:
        """End the process; what it was writing stays invisible."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self._stdin, self._stdout, self._stderr):
            # What the dead process never read is still in the buffer of its stdin.
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    @property
    def usable(self) -> bool:
        """Whether it runs and has answered: one whose listener failed in the middle has answers yet to come."""
        return self._waits and self.process.poll() is None

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._stdin.write(json.dumps(message) + "\n")
            self._stdin.flush()
        except (BrokenPipeError, ValueError):
            # Dead: reading its output, which is next, says with what code and last words.
            return

    def _read_errors(self) -> None:
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in self._stderr:
                self._errors.append(line.rstrip())
                if self._on_line is not None:
                    self._on_line(line.rstrip())

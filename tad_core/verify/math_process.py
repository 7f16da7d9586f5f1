"""The parent's side of an algebra process: start it, ask it under a deadline, kill it, start it again."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from pathlib import Path

from tad_core.errors import VerifierError
from tad_core.verify.math import MathKind
from tad_core.verify.sandbox.inside import frames
from tad_core.verify.sandbox.inside.allowance import Allowance
from tad_core.verify.verdict import MathVerdict

#: What a worker may take to start: CPU seconds, and as many that it rests.
_START_S = 60.0
#: CPU seconds after its own alarm that a worker may still answer in before it is killed.
_GRACE_S = 1.0
#: Seconds in which a worker that has something to compute, and does not, is given up. It says nothing of the pair.
_REST_S = 60.0
_ATTEMPTS = 3
_CUT_SHORT = (MathVerdict.TIMEOUT, MathVerdict.OUT_OF_MEMORY)


class AlgebraError(Exception):
    """The process died or did not start: nothing is known about the pair it had."""


class AlgebraProcess:
    """One worker process. Not thread-safe: one thread asks it at a time."""

    def __init__(self, memory_mb: int = 2048) -> None:
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._judged = 0

    @property
    def pid(self) -> int | None:
        """The process id while one runs."""
        return self._process.pid if self._process else None

    def compare(self, prediction: str, reference: str, kind: MathKind, timeout_s: float) -> MathVerdict:
        """Compare one pair within ``timeout_s`` CPU seconds; ``AlgebraError`` if the process failed.

        One whose work was cut short is not asked again: it may have left the library in the middle of something.
        And what ran out of memory is judged by a process that holds nothing of other pairs.
        """
        verdict, judged_before = self._ask(prediction, reference, kind, timeout_s)
        if verdict in _CUT_SHORT:
            self.kill()
        if verdict is MathVerdict.OUT_OF_MEMORY and judged_before:
            return self.compare(prediction, reference, kind, timeout_s)
        return verdict

    def _ask(
        self, prediction: str, reference: str, kind: MathKind, timeout_s: float
    ) -> tuple[MathVerdict, int]:
        """The verdict, and how many pairs the process had judged before."""
        process = self._process or self._start()
        job = {"prediction": prediction, "reference": reference, "kind": kind, "timeout_s": timeout_s}
        assert process.stdin is not None and process.stdout is not None
        try:
            frames.send(process.stdin.fileno(), job)
            allowance = Allowance([process.pid], timeout_s + _GRACE_S, _REST_S)
            if allowance.wait_for(process.stdout.fileno()):
                self._judged += 1
                answer = frames.receive(process.stdout.fileno(), allowance.deadline())
                return MathVerdict(answer["verdict"]), self._judged - 1
        except (frames.ClosedError, frames.MalformedError, frames.DeadlineError, OSError) as error:
            status = self.kill()
            raise AlgebraError(f"the algebra process ended ({status}) while it had {job!r}") from error
        if allowance.computed_too_long():
            return MathVerdict.TIMEOUT, self._judged
        raise AlgebraError(f"the algebra process stood still ({self.kill()}) while it had {job!r}")

    def _start(self) -> subprocess.Popen[bytes]:
        # Isolated (-I), and then exactly the folders that this process imports from, however they came
        # to be there (PYTHONPATH, pip's --target). Absolute: the process starts in another folder.
        # As abspath has it and not resolve(): a zip or a link is searched under its own name.
        found = (os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100
        paths = [str(Path(__file__).resolve().parents[2]), *found]
        code = f"import sys; sys.path[:] = {paths!r}; from tad_core.verify.math_worker import main; main()"
        # An empty environment: answers come from a model and are read by a large library.
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-I", "-c", code, str(self._memory_mb)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        self._judged = 0
        assert self._process.stdout is not None and self._process.stderr is not None
        allowance = Allowance([self._process.pid], _START_S, _START_S)
        try:
            allowance.wait_for(self._process.stdout.fileno())
            frames.receive(self._process.stdout.fileno(), allowance.deadline())
        except (frames.ClosedError, frames.MalformedError, frames.DeadlineError) as error:
            self._process.kill()  # so that its end of the pipe is closed before we read
            *_, said = ["", *self._process.stderr.read().decode(errors="replace").strip().splitlines()]
            raise AlgebraError(
                f"the algebra process did not start ({self.kill()}, {error}): {said[:500]}"
            ) from error
        return self._process

    def kill(self) -> str:
        """End the process and reap it; says how it ended. Does nothing when none runs."""
        process, self._process = self._process, None
        if process is None:
            return "not running"
        process.kill()
        status = process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return f"exit status {status}"


class SharedAlgebra:
    """One algebra process for single comparisons from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = AlgebraProcess()
        self._owner = os.getpid()
        atexit.register(self.close)

    def compare(self, prediction: str, reference: str, kind: MathKind, timeout_s: float) -> MathVerdict:
        """Compare one pair, starting the process again if it died."""
        with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    return self._process.compare(prediction, reference, kind, timeout_s)
                except AlgebraError as error:
                    if attempt == _ATTEMPTS - 1:
                        raise VerifierError(f"{error} ({_ATTEMPTS} attempts)") from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the process, in the process that started it only."""
        if os.getpid() == self._owner:
            self._process.kill()


_shared: SharedAlgebra | None = None
_shared_lock = threading.Lock()


def shared_algebra() -> SharedAlgebra:
    """The algebra process of this process (a forked child gets its own)."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared._owner != os.getpid():
            _shared = SharedAlgebra()
        return _shared

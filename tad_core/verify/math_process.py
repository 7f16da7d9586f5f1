"""The parent's side of an algebra process: start it, ask it under a deadline, kill it, start it again."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from tad_core.errors import VerifierError
from tad_core.verify.math import MathKind
from tad_core.verify.sandbox.inside import frames
from tad_core.verify.verdict import MathVerdict

_START_TIMEOUT_S = 60.0
#: How long after its own alarm a worker may still answer before it is killed, in seconds.
_GRACE_S = 1.0
_ATTEMPTS = 3


class AlgebraError(Exception):
    """The process died or did not start: nothing is known about the pair it had."""


class AlgebraProcess:
    """One worker process. Not thread-safe: one thread asks it at a time."""

    def __init__(self, memory_mb: int = 2048) -> None:
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while one runs."""
        return self._process.pid if self._process else None

    def compare(self, prediction: str, reference: str, kind: MathKind, timeout_s: float) -> MathVerdict:
        """Compare one pair; ``AlgebraError`` if the process failed."""
        process = self._process or self._start()
        job = {"prediction": prediction, "reference": reference, "kind": kind, "timeout_s": timeout_s}
        assert process.stdin is not None and process.stdout is not None
        try:
            frames.send(process.stdin.fileno(), job)
            deadline = time.monotonic() + timeout_s + _GRACE_S
            return MathVerdict(frames.receive(process.stdout.fileno(), deadline)["verdict"])
        except frames.DeadlineError:
            self.kill()
            return MathVerdict.TIMEOUT
        except (frames.ClosedError, frames.MalformedError, OSError) as error:
            status = self.kill()
            raise AlgebraError(f"the algebra process ended ({status}) while it had {job!r}") from error

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
        assert self._process.stdout is not None and self._process.stderr is not None
        try:
            frames.receive(self._process.stdout.fileno(), time.monotonic() + _START_TIMEOUT_S)
        except (frames.ClosedError, frames.MalformedError, frames.DeadlineError) as error:
            self._process.kill()  # so that its end of the pipe is closed before we read
            said = self._process.stderr.read().decode(errors="replace").strip()[-500:]
            raise AlgebraError(
                f"the algebra process did not start ({self.kill()}, {error}): {said}"
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

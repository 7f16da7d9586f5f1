"""Processes forked from one that has loaded what all of them need: torch, and on a CPU the model.

A fork costs milliseconds and shares the memory of what was loaded, so that there is no second model. The process that
forks is an interpreter of its own without other threads, which is what makes a fork safe; it loads with one thread and
computes nothing. How a forked worker is spoken to is no different from any other: its pipes are handed over with the
request.

A nursery that is told ``imports`` loads modules instead of models, and never a GPU's driver, which no fork survives:
its forks may use a GPU, many of them the same, and each loads its own model. They are workers, or trainings.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn

from tad_core import errors
from tad_core.workers.process import Held, work

#: between two looks for forked workers that ended
_LOOK_S = 0.05
_MOST_BYTES = 1 << 18
#: pipes, and the locks that a fork holds besides
_MOST_FILES = 128
#: Under this torch asks the driver's management library how many GPUs there are, which leaves a process fit to fork.
_ASK_GENTLY = "PYTORCH_NVML_BASED_CUDA_CHECK"


class Forked:
    """A forked worker, as ``subprocess.Popen`` is one that was started."""

    def __init__(self, pid: int, code: Future[int]) -> None:
        self.pid, self.future = pid, code

    def poll(self) -> int | None:
        """Its exit code once it has ended; negative for a signal."""
        return self.future.result() if self.future.done() else None

    def wait(self) -> int:
        """Its exit code."""
        return self.future.result()

    def kill(self) -> None:
        """At once."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        if not self.future.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """The process that forks; it lives until ``close``, or dies with this process."""

    def __init__(self, module: str, env: dict[str, str], imports: Sequence[str] = ()) -> None:
        self.imports = tuple(imports)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "nursery", str(theirs.fileno()), str(os.getpid()), *self.imports],
            env={**env, _ASK_GENTLY: "1"} if imports else env,
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._lock = threading.Lock()
        self._replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._codes: dict[int, Future[int]] = {}
        self._numbers = itertools.count()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can fork."""
        return self._process.poll() is None

    def fork(self, setup: dict[str, Any], pipes: Sequence[int]) -> Forked:
        """A worker with the model of ``setup``, loaded now if it is another than the last one.

        Args:
            setup: as for any worker.
            pipes: its stdin, stdout and stderr, which stay open here.

        Raises:
            TADError: the model cannot be loaded.
            SubprocessError: the nursery died.
        """
        return self._ask(setup, pipes)

    def fork_training(
        self, spec: str, env: dict[str, str], pipes: Sequence[int], locks: Sequence[int] = ()
    ) -> Forked:
        """A process that runs ``python -m tad_core.training SPEC``, with these variables in its environment.

        Args:
            spec: file of the training run.
            env: what differs from the nursery's.
            pipes: its stdin, stdout and stderr, which stay open here.
            locks: open files that it holds besides.

        Raises:
            SubprocessError: the nursery died.
        """
        return self._ask({"train": spec, "env": env}, [*pipes, *locks])

    def _ask(self, request: dict[str, Any], files: Sequence[int]) -> Forked:
        with self._lock:
            number = next(self._numbers)
            try:
                text = json.dumps({**request, "number": number})
                socket.send_fds(self._socket, [text.encode()], list(files))
            except OSError:
                self._replies.put({})
            # Whoever asked before may have been interrupted, and have left the reply.
            while (reply := self._replies.get()).get("number", number) != number:
                continue
        if "error" in reply:
            raise getattr(errors, reply["error"], errors.SubprocessError)(reply["message"])
        if "pid" not in reply:
            code = self._process.wait()
            kind = errors.KilledError if code == -signal.SIGKILL else errors.SubprocessError
            raise kind(f"the process that loads the model for all workers of this CPU ended with code {code}")
        return Forked(reply["pid"], reply["code"])

    def close(self) -> None:
        """End it; its workers end with it."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                message = json.loads(self._socket.recv(_MOST_BYTES) or b"null")
            except OSError:
                message = None
            if message is None:
                break
            if "ended" in message:
                self._codes.pop(message["ended"]).set_result(message["code"])
                continue
            if "pid" in message:  # before its end can be told
                message["code"] = self._codes[message["pid"]] = Future()
            self._replies.put(message)
        self._process.kill()  # its socket is gone: it is as good as dead
        code = self._process.wait()
        for future in list(self._codes.values()):  # they end after it, and nobody learns how
            future.set_result(code)
        self._codes.clear()
        self._replies.put({})


def nurse(fd: int, parent: int, imports: Sequence[str] = ()) -> None:
    """The nursery's own end: fork a process for each request, and tell of those that ended.

    Args:
        fd: of the socket to the parent.
        parent: its process id; this one ends after it.
        imports: modules to load at once, and no model.
    """
    import torch

    torch.set_num_threads(1)
    for module in imports:
        importlib.import_module(module)
    # Its end of the socket goes with the parent, at any moment; then nobody is there to be told anything.
    with socket.socket(fileno=fd) as requests, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        _serve(requests, parent, load=not imports)


def _serve(requests: socket.socket, parent: int, load: bool) -> None:
    held: Held | None = None
    ours = os.getpid()
    while os.getppid() == parent:
        ready, _, _ = select.select([requests], [], [], _LOOK_S)
        _tell_ends(requests)
        if not ready:
            continue
        text, pipes, _, _ = socket.recv_fds(requests, _MOST_BYTES, _MOST_FILES)
        if not text:
            return
        setup = json.loads(text)
        try:
            if "train" in setup:
                act: Callable[[], NoReturn] = partial(_train, setup["train"], setup["env"])
            elif not load:
                act = partial(_work_apart, ours)
            else:
                if held is None or _model(held.setup) != _model(setup):
                    held = None  # before the next one takes its place
                    held = Held(setup)
                    held.model_and_tokenizer()
                act = partial(work, ours, held)
        except errors.TADError as error:
            held = None
            _reply(requests, setup, {"error": type(error).__name__, "message": str(error)})
        else:
            _reply(requests, setup, {"pid": _fork(requests, pipes, act)})
        finally:
            for pipe in pipes:
                os.close(pipe)


def _reply(requests: socket.socket, request: dict[str, Any], what: dict[str, Any]) -> None:
    requests.send(json.dumps({**what, "number": request["number"]}).encode())


def _fork(requests: socket.socket, files: Sequence[int], act: Callable[[], NoReturn]) -> int:
    """A process whose first three files are these pipes, and which holds the others; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        requests.close()
        for at, pipe in enumerate(files[:3]):
            os.dup2(pipe, at)
            os.close(pipe)
        act()
    except BaseException:  # nothing of the nursery's may go on in its copy
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _work_apart(parent: int) -> NoReturn:
    """A worker that loads its own model."""
    _afresh_without_driver([sys.executable, "-m", "tad_core.workers.process", str(parent)])
    work(parent)


def _train(spec: str, env: dict[str, str]) -> NoReturn:
    """The training process."""
    os.environ.update(env)
    _afresh_without_driver([sys.executable, "-m", "tad_core.training", spec])
    from tad_core.training.__main__ import main

    # What a fresh interpreter has of PYTHONUNBUFFERED.
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    code = 1
    try:
        code = main([spec])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _afresh_without_driver(command: list[str]) -> None:
    """Begin again as a fresh interpreter, where something that was loaded has woken a GPU's driver after all."""
    import torch

    if torch.cuda._is_in_bad_fork():
        os.execv(command[0], command)


def _model(setup: dict[str, Any]) -> tuple[Any, Any]:
    return setup["model"], setup["adapter"]


def _tell_ends(requests: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            requests.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())

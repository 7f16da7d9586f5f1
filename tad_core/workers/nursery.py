"""Workers of a CPU: forked from one process that has loaded torch and the model, whose memory they share.

A fork costs milliseconds and needs no second model. The process that forks is an interpreter of its own without other
threads, which is what makes a fork safe; it loads with one thread and computes nothing. How a forked worker is spoken
to is no different from any other: its pipes are handed over with the request.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from tad_core import errors
from tad_core.workers.process import Held, work

#: between two looks for forked workers that ended
_LOOK_S = 0.05
_MOST_BYTES = 1 << 18


class Forked:
    """A forked worker, as ``subprocess.Popen`` is one that was started."""

    def __init__(self, pid: int, code: Future[int]) -> None:
        self.pid, self._code = pid, code

    def poll(self) -> int | None:
        """Its exit code once it has ended; negative for a signal."""
        return self._code.result() if self._code.done() else None

    def wait(self) -> int:
        """Its exit code."""
        return self._code.result()

    def kill(self) -> None:
        """At once."""
        if not self._code.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """The process that forks; it lives until ``close``, or dies with this process."""

    def __init__(self, module: str, env: dict[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "nursery", str(theirs.fileno()), str(os.getpid())],
            env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._lock = threading.Lock()
        self._replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._codes: dict[int, Future[int]] = {}
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
        with self._lock:
            try:
                socket.send_fds(self._socket, [json.dumps(setup).encode()], list(pipes))
            except OSError:
                self._replies.put({})
            reply = self._replies.get()
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


def nurse(fd: int, parent: int) -> None:
    """The nursery's own end: fork a worker for each request, and tell of those that ended.

    Args:
        fd: of the socket to the parent.
        parent: its process id; this one ends after it.
    """
    import torch

    torch.set_num_threads(1)
    # Its end of the socket goes with the parent, at any moment; then nobody is there to be told anything.
    with socket.socket(fileno=fd) as requests, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        _serve(requests, parent)


def _serve(requests: socket.socket, parent: int) -> None:
    held: Held | None = None
    while os.getppid() == parent:
        ready, _, _ = select.select([requests], [], [], _LOOK_S)
        _tell_ends(requests)
        if not ready:
            continue
        text, pipes, _, _ = socket.recv_fds(requests, _MOST_BYTES, 3)
        if not text:
            return
        setup = json.loads(text)
        try:
            if held is None or _model(held.setup) != _model(setup):
                held = None  # before the next one takes its place
                held = Held(setup)
                held.model_and_tokenizer()
        except errors.TADError as error:
            held = None
            requests.send(json.dumps({"error": type(error).__name__, "message": str(error)}).encode())
        else:
            requests.send(json.dumps({"pid": _fork(requests, pipes, held)}).encode())
        finally:
            for pipe in pipes:
                os.close(pipe)


def _fork(requests: socket.socket, pipes: Sequence[int], held: Held) -> int:
    """A worker that reads and writes these pipes; its process id."""
    ours, pid = os.getpid(), os.fork()
    if pid:
        return pid
    try:
        requests.close()
        for at, pipe in enumerate(pipes):
            os.dup2(pipe, at)
            os.close(pipe)
        work(ours, held)
    except BaseException:  # nothing of the nursery's may go on in its copy
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _model(setup: dict[str, Any]) -> tuple[Any, Any]:
    return setup["model"], setup["adapter"]


def _tell_ends(requests: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            requests.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())

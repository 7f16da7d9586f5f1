"""A Prefect server for the length of one run, where none is set up.

Prefect can start one by itself, but that one gets the terminal's Ctrl-C together with the run, which then cannot
say how it ended, and it stays for ever when the run is killed. This one is a child in a process group of its own
that ends when its stdin closes, so with its parent however that ends. Database and records are Prefect's usual ones
in ``PREFECT_HOME``. One that does not start says why (``server_faults``).
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from flows.server_faults import explain, report
from tad_core.errors import ServerError

_START_S = 180.0
_STOP_S = 5.0
#: Between two lines that say that it still starts: seconds on an idle machine, half a minute on a busy one.
_TELL_S = 5.0
#: What Prefect sets for its own temporary servers, and no block types, of which nothing here is made.
_TEMPORARY = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}


class TemporaryServer:
    """The server's process as its parent sees it; starts at once, ``url`` waits until it answers."""

    def __init__(self) -> None:
        self._log = _memory_file()
        # The child gets the bound socket, not its number: nobody else can take the port in between.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.server", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, **_TEMPORARY},
                pass_fds=[listener.fileno()],
                process_group=0,
            )
        # Registered before Prefect is imported, so called after Prefect has sent its last events.
        atexit.register(self.stop)

    def url(self) -> str:
        """The API's URL, once it answers.

        Raises:
            ServerError: it ended, or did not answer in time; with its own reason and the folder it uses.
        """
        url = f"http://127.0.0.1:{self.port}/api"
        loopback = build_opener(ProxyHandler({}))
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with loopback.open(f"{url}/health", timeout=1):
                    return url
            except (URLError, OSError):
                time.sleep(0.1)
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace")
        raise ServerError(explain(self._process.poll(), said, _START_S))

    def stop(self) -> None:
        """Close its stdin and wait; kill it if it takes long."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def still_starting(say: Callable[[str], None], every_s: float = _TELL_S) -> Iterator[None]:
    """Say every few seconds, until the block ends, that the server still starts, and for how long; once, what then."""
    over, began = threading.Event(), time.monotonic()

    def tell() -> None:
        advice = "; if it does not come up, `tad doctor` looks for why, and PREFECT_API_URL takes a server that runs"
        while not over.wait(every_s):
            say(
                f"Prefect: still starting, {time.monotonic() - began:.0f} s of at most {_START_S:.0f} s{advice}"
            )
            advice = ""

    thread = threading.Thread(target=tell, name="still starting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _memory_file() -> IO[bytes]:
    """What the server prints. No pipe, since nobody reads it unless the start fails; no disk, which may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("server"), "w+b")
    return tempfile.TemporaryFile()


def main(listener: int) -> None:
    """The child: serve on a bound socket until stdin closes; exits with 1 if it does not come to that."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(_app, factory=True, log_level="error", lifespan="on"))

    def watch() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock would be held when the interpreter ends
            pass
        server.should_exit = True
        time.sleep(_STOP_S)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    try:
        server.run(sockets=[socket.socket(fileno=listener)])
    except Exception as error:
        report(error)
        raise
    if not server.started:
        sys.exit(1)


def _app() -> Callable[..., Awaitable[None]]:
    """Prefect's server, which reports what its start fails of: Prefect and uvicorn log that, and are quiet here."""
    from prefect.server.api.server import create_app

    app = create_app()

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        except Exception as error:
            report(error)
            raise

    return served


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""A Prefect server for the length of one run, where none is set up.

Prefect can start one by itself, but that one gets the terminal's Ctrl-C together with the run, which then cannot
say how it ended, and it stays for ever when the run is killed. This one is a child in a process group of its own
that ends when its stdin closes, so with its parent however that ends. Database and records are Prefect's usual ones
in ``PREFECT_HOME``.
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
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from tad_core.errors import SubprocessError

_START_S = 180.0
_STOP_S = 5.0
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
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        # A file, not a pipe: nobody reads it unless the start fails.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **_TEMPORARY},
            process_group=0,
        )
        # Registered before Prefect is imported, so called after Prefect has sent its last events.
        atexit.register(self.stop)

    def url(self) -> str:
        """The API's URL, once it answers.

        Raises:
            SubprocessError: it ended, or did not answer in time; with its last lines.
        """
        url = f"http://127.0.0.1:{self.port}/api"
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urlopen(f"{url}/health", timeout=1):
                    return url
            except (URLError, OSError):
                time.sleep(0.1)
        self._log.seek(0)
        tail = self._log.read().decode("utf-8", "replace")[-2000:]
        raise SubprocessError(
            f"Prefect's temporary server did not start (exit code {self._process.poll()}); run `tad doctor`, or start "
            f"one with `prefect server start` and set PREFECT_API_URL. Its last lines:\n{tail}"
        )

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


def main(port: int) -> None:
    """The child: serve until stdin closes."""
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on"
        )
    )

    def watch() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True
        time.sleep(_STOP_S)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))

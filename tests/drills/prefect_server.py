"""A Prefect server that may be killed and started again on the same database."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

from tests.drills.common import environment, wait_until


class Server:
    """``prefect server start`` as a user would, with SQLite in a folder of its own."""

    def __init__(self, folder: Path, **more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url, self._log = f"http://127.0.0.1:{self.port}/api", folder / "server.log"
        self._env = environment(
            folder,
            "server",
            PREFECT_SERVER_API_PORT=str(self.port),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            **more,
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(self.port)]
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(command, env=self._env, stdout=out, stderr=out)
        wait_until(lambda: self.answers() or self.process.poll() is not None, what="the server's start")
        assert self.process.poll() is None, self._log.read_text()[-3000:]

    def answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=1):
                return True
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """As its operator does: SIGTERM."""
        self.process.terminate()
        self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def client(self) -> Any:
        """A synchronous client of this server; use inside ``with``."""
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(self.url)

    def flow_states(self) -> dict[str, int]:
        """How many flow runs are in each state."""
        with self.client() as client:
            names = [str(run.state.name) for run in client.read_flow_runs() if run.state]
        return {name: names.count(name) for name in set(names)}

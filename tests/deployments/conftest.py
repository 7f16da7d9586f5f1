"""A cluster of the tests' own: a real Prefect server, deployed to, with process workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

from tests.records import with_records
from tests.waiting import CEILING_S

ROOT = Path(__file__).resolve().parents[2]
PRESETS = Path(__file__).parent / "presets"
#: Generous: a busy machine is slower by far, and nothing here is about speed.
DEADLINE_S = 600
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Cluster:
    """Server, what was deployed to it, and workers; ``url`` is the UI, ``store`` where stores go."""

    def __init__(self, folder: Path, database: str | None = None, leases: str = "flows.leases") -> None:
        self.folder, self.store = folder, folder / "stores"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "TAD_"))}
        self.environment = {
            **clean,
            "PREFECT_HOME": str(with_records(folder / "prefect")),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": leases,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TAD_PRESETS": str(PRESETS),
            "TAD_STORE": str(self.store),
        }
        if database:
            self.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        server = self._stack.enter_context(self.process("server", command))
        wait_until(lambda: _answers(f"{self.url}/api/health") or server.poll() is not None)
        assert server.poll() is None, self.log("server")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def process(self, name: str, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A Python process that, with all its descendants, ends with the block."""
        with (self.folder / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            end_tree(process)

    def worker(self, pool: str, name: str = "worker") -> subprocess.Popen[bytes]:
        """A process worker of ``pool`` until the cluster ends."""
        command = ["-m", "prefect", "worker", "start", "--pool", pool, "--name", name]
        return self._stack.enter_context(self.process(name, command))

    def log(self, name: str) -> str:
        """The last lines of a process."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def deploy(self, **settings: str) -> list[str]:
        """``deployments/deploy.py`` as ``make deploy`` runs it; its lines."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "deployments" / "deploy.py")],
            env={**self.environment, **settings}, cwd=self.folder, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """The server's API, as anybody calls it; the answer, whatever its status."""
        import httpx

        return httpx.request(method, f"{self.url}/api{path}", timeout=CEILING_S, **options)

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by ``flow/deployment``."""
        return self.request("GET", f"/deployments/name/{name}").json()  # type: ignore[no-any-return]

    def start(self, name: str, **parameters: Any) -> Any:
        """Ask for a run of a deployment; the server's answer."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return self.request("POST", path, json={"parameters": parameters, "state": {"type": "SCHEDULED"}})

    def run(self, run_id: str) -> dict[str, Any]:
        """A flow run as the server knows it."""
        return self.request("GET", f"/flow_runs/{run_id}").json()  # type: ignore[no-any-return]

    def finished(self, run_id: str) -> dict[str, Any]:
        """The run once it is over."""
        wait_until(lambda: self.run(run_id)["state"]["type"] in _FINAL, 0.5)
        return self.run(run_id)

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """What a run left in the UI, by key; of each one."""
        only = {"artifacts": {"flow_run_id": {"any_": [run_id]}}, "sort": "CREATED_DESC"}
        found = [item for item in self.request("POST", "/artifacts/filter", json=only).json() if item["key"]]
        by_key = {item["key"]: item for item in found}
        assert len(by_key) == len(found), "an artifact is there twice"
        return by_key

    def tasks(self, run_id: str) -> dict[str, list[str]]:
        """Names of the states in which the run's tasks ended, by task; several where the run was retried."""
        only = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        out: dict[str, list[str]] = {}
        for task in self.request("POST", "/task_runs/filter", json=only).json():
            out.setdefault(task["name"], []).append(task["state"]["name"])
        return out


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """On SQLite."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def forgetful_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """On SQLite, with the leases where Prefect keeps them by default."""
    with Cluster(tmp_path, leases="prefect.server.concurrency.lease_storage.memory") as cluster:
        yield cluster


@pytest.fixture
def postgres_cluster(tmp_path: Path, postgres_database: str) -> Iterator[Cluster]:
    """On PostgreSQL."""
    with Cluster(tmp_path, postgres_database) as cluster:
        yield cluster


def wait_until(condition: Callable[[], bool], every_s: float = 0.1) -> None:
    """Wait for something that happens sooner or later."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(every_s)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and its descendants to end; kill what is left."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1):
            return True
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

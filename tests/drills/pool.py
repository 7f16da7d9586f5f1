"""A work pool on a real server with two process workers as two hosts, each of which takes one run at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.drills.common import environment, family, wait_until
from tests.drills.prefect_server import Server

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Pool:
    """A server, a process work pool, and a worker a host that takes one run at a time."""

    def __init__(self, folder: Path, server: Server, limit: int | None = None) -> None:
        self.folder, self.server = folder, server
        self.failing, self.together = folder / "failing", folder / "together"
        self.workers: list[subprocess.Popen[bytes]] = []
        with server.client() as client:
            template = {"name": "drill", "type": "process"}
            client.request("POST", "/work_pools/", json=template)
            for name, function in (("drill", "collect"), ("tad-collect-worker", "collect_worker_flow")):
                flow = client.request("POST", "/flows/", json={"name": name}).json()
                deployment = {
                    "name": "drill",
                    "flow_id": flow["id"],
                    "work_pool_name": "drill",
                    "entrypoint": f"tests.drills.deployed.{function}",
                    "pull_steps": [],
                    "concurrency_limit": limit if name == "drill" else None,
                }
                client.request("POST", "/deployments/", json=deployment)

    def start(self) -> None:
        for host in ("one", "two"):
            env = environment(
                self.folder,
                host,
                0.5,
                PREFECT_API_URL=self.server.url,
                PREFECT_WORKER_QUERY_SECONDS="1",
                PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30",
                PREFECT_CLIENT_MAX_RETRIES="7",
                DRILL_FAILING=str(self.failing),
                DRILL_TOGETHER=str(self.together),
            )
            command = ["-m", "prefect", "worker", "start", "--pool", "drill", "--name", host, "--limit", "1"]
            with (self.folder / f"{host}.log").open("ab") as out:
                self.workers.append(
                    subprocess.Popen(
                        [sys.executable, *command], env=env, cwd=self.folder, stdout=out, stderr=out,
                        stdin=subprocess.DEVNULL, start_new_session=True,
                    )
                )  # fmt: skip

    def stop(self) -> None:
        for worker in self.workers:
            for member in family(worker.pid):
                if member.is_running():
                    member.kill()
            worker.wait()

    def runs(self) -> list[psutil.Process]:
        """Everything that runs below the two workers."""
        return [process for worker in self.workers for process in self.runs_of(worker)]

    def runs_of(self, worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Everything that runs below one worker; nothing if it has ended."""
        try:
            return psutil.Process(worker.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def trigger(self, config: dict[str, Any]) -> str:
        """As the UI's button does."""
        with self.server.client() as client:
            deployment = client.request("GET", "/deployments/name/drill/drill").json()
            body = {"parameters": {"config": config}, "state": {"type": "SCHEDULED"}}
            made = client.request("POST", f"/deployments/{deployment['id']}/create_flow_run", json=body)
            return str(made.json()["id"])

    def cancel(self, run: str) -> None:
        """As the UI's button does."""
        with self.server.client() as client:
            client.request("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}})

    def message(self, run: str) -> str:
        """What its state says."""
        with self.server.client() as client:
            return str(client.request("GET", f"/flow_runs/{run}").json()["state"]["message"])

    def states(self) -> dict[str, str]:
        """Type of the state of each run, by its id."""
        with self.server.client() as client:
            return {
                r["id"]: r["state"]["type"]
                for r in client.request("POST", "/flow_runs/filter", json={}).json()
            }

    def wait_for_end(self, run: str) -> str:
        wait_until(lambda: self.states()[run] in FINAL, 900, "the run")
        return self.states()[run]

    def logs(self) -> str:
        return "".join(file.read_text(errors="replace")[-3000:] for file in self.folder.glob("*.log"))

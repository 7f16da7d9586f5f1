"""On a work pool, with a real server and two process workers as two hosts: shared, failed and retried, cancelled."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.drills.common import alive, begun, environment, leftovers, tree_of, wait_until
from tests.drills.prefect_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Pool:
    """A server, a process work pool, and a worker a host that takes one run at a time."""

    def __init__(self, folder: Path, server: Server) -> None:
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
            members = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
            for member in members:
                if member.is_running():
                    member.kill()
            worker.wait()

    def runs(self) -> list[psutil.Process]:
        """Everything that runs below the two workers."""
        return [p for worker in self.workers for p in psutil.Process(worker.pid).children(recursive=True)]

    def trigger(self, config: dict[str, Any]) -> str:
        """As the UI's button does."""
        with self.server.client() as client:
            deployment = client.request("GET", "/deployments/name/drill/drill").json()
            body = {"parameters": {"config": config}, "state": {"type": "SCHEDULED"}}
            made = client.request("POST", f"/deployments/{deployment['id']}/create_flow_run", json=body)
            return str(made.json()["id"])

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


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    with Server(folder) as server:
        pool = Pool(folder, server)
        pool.start()
        try:
            yield pool
        finally:
            pool.stop()


@pytest.fixture
def tree(pool: Pool, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    journal = pool.folder / "journal"
    journal.unlink(missing_ok=True)
    return lambda shards, **rollout: tree_of(
        str(tmp_path / "store"), shards, worker_deployment="tad-collect-worker/drill", **rollout
    )


def test_a_child_run_on_another_host_takes_its_share(pool: Pool, tree: Any) -> None:
    before = set(pool.states())
    pool.together.write_text("2")  # the first to begin waits for the other, however slow the machine is
    run = pool.trigger(tree(60, workers=1, hosts=2))
    assert pool.wait_for_end(run) == "COMPLETED", pool.logs()
    pool.together.unlink()
    count = begun(pool.folder)
    assert len(count) == sum(count.values()) == 60, "every shard once"
    processes = {line.split()[1] for line in (pool.folder / "journal").read_text().splitlines()}
    assert len(processes) == 2, "a worker process on each host"
    wait_until(lambda: set(pool.states().values()) <= FINAL, 120, "the child run")
    children = [state for run_id, state in pool.states().items() if run_id not in {*before, run}]
    assert children == ["COMPLETED"]


def test_retry_of_a_failed_run_decodes_only_what_is_missing(pool: Pool, tree: Any, tmp_path: Path) -> None:
    names = ["privileged-00003-00004", "privileged-00007-00008"]
    pool.failing.write_text(" ".join(names))
    run = pool.trigger(tree(12, workers=2))
    assert pool.wait_for_end(run) == "FAILED", pool.logs()
    first = begun(pool.folder)
    assert sum(first.values()) == 12, "what was wrong with the data is not tried again by itself"
    pool.failing.unlink()
    env = {**os.environ, "PREFECT_API_URL": pool.server.url}
    command = [sys.executable, "-m", "prefect", "flow-run", "retry", run]  # the UI's button calls the same
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pool.wait_for_end(run) == "COMPLETED", pool.logs()
    assert begun(pool.folder) - first == dict.fromkeys(names, 1)
    assert len(list((tmp_path / "store").glob("collect/*/manifest.json"))) == 1


def test_cancel_ends_every_process_of_both_hosts(pool: Pool, tree: Any, tmp_path: Path) -> None:
    pool.together.write_text("4")
    run = pool.trigger(tree(400, workers=2, hosts=2))
    journal = pool.folder / "journal"

    def at_work() -> int:
        lines = journal.read_text().splitlines() if journal.exists() else []
        return len({line.split()[1] for line in lines})

    wait_until(lambda: at_work() == 4 or pool.states()[run] in FINAL, 600, "both hosts at work")
    pool.together.unlink()

    def done() -> int:
        return len(list((tmp_path / "store").glob("collect/*/privileged-*.json")))

    # In the middle of the work: some shards are finished, and each worker has gone on to another.
    wait_until(lambda: done() >= 8 or pool.states()[run] in FINAL, 300, "the first shards")
    assert pool.states()[run] == "RUNNING", pool.logs()
    processes = pool.runs()
    assert len(processes) >= 6, "a run and two workers on each host"
    with pool.server.client() as client:  # what the UI's button sends
        client.request("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}})
    asked = time.monotonic()
    wait_until(lambda: not any(map(alive, processes)), 120, "the end of every process")
    print(f"cancelled in {time.monotonic() - asked:.1f} s")
    assert time.monotonic() - asked < 30 or os.getloadavg()[0] > os.cpu_count(), (
        "30 s on a machine that is not busy"
    )
    wait_until(lambda: set(pool.states().values()) <= FINAL, 60, "the states")
    assert pool.states()[run] == "CANCELLED"
    assert [f for f in leftovers(tmp_path / "store") if not f.startswith(".leases")] == []
    assert 0 < done() < 400

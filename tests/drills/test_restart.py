"""The server is stopped and comes back under runs that hold a lease of their deployment's limit; a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.common import alive, begun, tree_of, wait_until
from tests.drills.pool import FINAL, Pool
from tests.drills.prefect_server import Server
from tests.drills.test_faults import automate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
LEASES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
#: A run renews its lease every 225 s: after so long it has done so at least once.
RENEWED_S = 240


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    """As `make server` and `make deploy` leave it, with a limit of two runs for the deployment."""
    with Server(tmp_path, **{LEASES: "flows.leases"}) as server:
        automate(server)
        pool = Pool(tmp_path, server, limit=2)
        pool.start()
        try:
            yield pool
        finally:
            pool.stop()


def collecting(pool: Pool, shards: int = 4000) -> tuple[str, dict[str, Any]]:
    """A run in the middle of its work."""
    tree = tree_of(str(pool.folder / "store"), shards, workers=1)
    run = pool.trigger(tree)
    wait_until(lambda: sum(begun(pool.folder).values()) >= 3 or pool.states()[run] in FINAL, 600, "the work")
    assert pool.states()[run] == "RUNNING", pool.logs()
    return run, tree


@pytest.mark.parametrize("away_s", [40, 150], ids=["40 s", "150 s"])
def test_a_run_goes_on_when_the_server_is_back_and_can_be_cancelled(pool: Pool, away_s: int) -> None:
    run, _ = collecting(pool)
    pool.server.stop()
    time.sleep(away_s)
    pool.server.start()
    back, at_work = time.monotonic(), sum(begun(pool.folder).values())
    while time.monotonic() - back < RENEWED_S:
        assert pool.states()[run] == "RUNNING", (pool.message(run), pool.logs())
        time.sleep(2)
    assert sum(begun(pool.folder).values()) > at_work + 10, pool.logs()
    processes = [p for worker in pool.workers for p in pool.runs_of(worker)]
    assert len(processes) >= 2, "a run and its worker"
    pool.cancel(run)
    wait_until(lambda: not any(map(alive, processes)), 120, "the end of every process")
    wait_until(lambda: pool.states()[run] in FINAL, 120, "the state")
    assert pool.states()[run] == "CANCELLED", pool.message(run)


def test_a_killed_worker_ends_its_run_with_one_reason_and_retry_goes_on(pool: Pool, tmp_path: Path) -> None:
    run, _ = collecting(pool, shards=40)
    (busy,) = [worker for worker in pool.workers if pool.runs_of(worker)]
    processes = pool.runs_of(busy)
    busy.send_signal(signal.SIGKILL)
    busy.wait()
    wait_until(lambda: pool.states()[run] in FINAL, 300, "the end of the run")
    assert pool.states()[run] == "CRASHED"
    assert "the worker that started this run has ended" in pool.message(run)
    wait_until(lambda: not any(map(alive, processes)), 60, "the end of every process")
    env = {**os.environ, "PREFECT_API_URL": pool.server.url}
    retry = [sys.executable, "-m", "prefect", "flow-run", "retry", run]  # the other worker takes it
    subprocess.run(retry, env=env, cwd=tmp_path, check=True, capture_output=True)
    assert pool.wait_for_end(run) == "COMPLETED", pool.logs()
    count = begun(pool.folder)
    assert len(count) == 40 and sum(count.values()) <= 41, "at most the shard in flight twice"

"""On a work pool, with a real server and two process workers as two hosts: shared, failed and retried, cancelled."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.common import alive, begun, leftovers, tree_of, wait_until
from tests.drills.pool import FINAL, Pool
from tests.drills.prefect_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


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
    pool.cancel(run)
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

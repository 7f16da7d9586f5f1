"""Several hosts, each a process with caches of its own, share one collection: no shard twice, none lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.drills.common import (
    begun,
    content,
    environment,
    leftovers,
    start,
    tree_of,
    wait_until,
    workers_below,
    write,
)

pytestmark = pytest.mark.timeout(900)
HOST = "tests.drills.hosts"


@pytest.fixture(
    params=[pytest.param("folder", marks=pytest.mark.slow), pytest.param("s3", marks=pytest.mark.services)]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('s3_bucket')}/store"


def test_two_hosts_share_a_collection_and_one_that_dies_gives_its_shard_back(
    store: str, tmp_path: Path
) -> None:
    """Two hosts, two workers each; one host is killed as a whole, a worker of the other alone."""
    shards = 16
    config = write(tree_of(store, shards, workers=2), tmp_path)
    hosts = [
        start(HOST, [config], environment(tmp_path, name, shard_s=0.5), tmp_path / f"{name}.log")
        for name in ("one", "two")
    ]
    try:
        wait_until(
            lambda: (
                len({line.split()[1] for line in journal(tmp_path)}) == 4
                or any(host.poll() is not None for host in hosts)
            ),
            what="four workers at work",
        )
        assert all(host.poll() is None for host in hosts), (tmp_path / "one.log").read_text()[-3000:]
        os.killpg(hosts[0].pid, signal.SIGKILL)
        hosts[0].wait()
        in_flight = 2
        code = hosts[1].wait(timeout=600)
    finally:
        for host in hosts:
            if host.poll() is None:
                os.killpg(host.pid, signal.SIGKILL)
                host.wait()
    assert code == 0, (tmp_path / "two.log").read_text()[-3000:]
    count = begun(tmp_path)
    assert len(count) == shards and sum(count.values()) - shards <= in_flight, count
    assert not workers_below(hosts[1].pid)
    tables = content(store)
    assert len(tables) == shards
    if "://" not in store:
        assert leftovers(Path(store)) == []

    again = start(HOST, [config], environment(tmp_path, "three"), tmp_path / "three.log")
    assert again.wait(timeout=300) == 0
    assert begun(tmp_path) == count, "a third host finds everything done"

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    alone = write(tree_of(str(undisturbed / "store"), shards, workers=1), undisturbed)
    assert start(HOST, [alone], environment(undisturbed, "x", shard_s=0), undisturbed / "log").wait(300) == 0
    assert content(str(undisturbed / "store")) == tables


def journal(folder: Path) -> list[str]:
    file = folder / "journal"
    return file.read_text().splitlines() if file.exists() else []

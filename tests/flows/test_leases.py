"""Leases of deployments' limits: a server on the same home has them, and takes none before it could be renewed."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from flows import leases

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "leases"


def test_a_lease_that_ran_out_while_the_server_was_away_is_renewed_not_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_STARTED_S", time.monotonic())  # this process may be older than the grace
    before = leases.ConcurrencyLeaseStorage(home)
    lease = asyncio.run(before.create_lease([uuid4()], timedelta(seconds=-60)))
    after = leases.ConcurrencyLeaseStorage(home)  # the server that was started again
    assert asyncio.run(after.read_expired_lease_ids()) == []
    assert asyncio.run(after.renew_lease(lease.id, timedelta(seconds=300)))
    assert asyncio.run(after.read_active_lease_ids()) == [lease.id]


def test_a_lease_that_nobody_renews_is_given_up_in_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = leases.ConcurrencyLeaseStorage(home)
    lease = asyncio.run(storage.create_lease([uuid4()], timedelta(seconds=-60)))
    monkeypatch.setattr(leases, "_STARTED_S", leases._STARTED_S - leases.GRACE_S)
    assert asyncio.run(storage.read_expired_lease_ids()) == [lease.id]


def test_prefect_finds_it_by_the_name_that_make_server_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.server.concurrency.lease_storage import get_concurrency_lease_storage
    from prefect.settings import PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE, temporary_settings

    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    assert "$${PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE:-flows.leases}" in makefile
    with temporary_settings({PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE: "flows.leases"}):
        assert isinstance(get_concurrency_lease_storage(), leases.ConcurrencyLeaseStorage)

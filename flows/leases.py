"""Where a Prefect server keeps the leases of deployments' limits: on disk, and none runs out while nobody can renew it.

Set with ``PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=flows.leases`` for the server (``make server`` and the compose file
do). A run of a deployment with a limit holds a lease of 300 s and renews it every 225 s; a run whose lease is gone is
ended by Prefect. In Prefect's default, the server's memory, every lease goes with the server; in its files, those go
that would have been renewed while it was away.
"""

from __future__ import annotations

import time

from prefect.server.concurrency.lease_storage.filesystem import (
    ConcurrencyLeaseStorage as _FilesystemLeaseStorage,
)

__all__ = ["ConcurrencyLeaseStorage"]

#: How long after its start a server lets no lease run out: a run renews within 225 s, and its client, which has been
#: turned away, tries again after at most 128 s.
GRACE_S = 360.0
_STARTED_S = time.monotonic()


class ConcurrencyLeaseStorage(_FilesystemLeaseStorage):
    """Prefect's leases in files of ``PREFECT_HOME/concurrency_leases``; the name is the one that Prefect looks for."""

    # Prefect's own type hints say UUID; the package's checks do not see into it.
    async def read_expired_lease_ids(self, limit: int = 100) -> list[object]:  # type: ignore[override]
        """Leases that may be taken away: none until those who hold one have had time to renew it."""
        if time.monotonic() - _STARTED_S < GRACE_S:
            return []
        return list(await super().read_expired_lease_ids(limit))

"""Prefect's records for processes that a test starts: the tables are there already.

A database of Prefect's gets more than a hundred migrations when it is made, 20 seconds of a slow core. They are done
once for a version of Prefect; every home gets a copy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

_KEPT = Path(__file__).parents[1] / ".pytest_cache"
_MAKE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def with_records(home: Path, name: str = "prefect.db") -> Path:
    """A folder for ``PREFECT_HOME`` with an empty database in it; one that has a database stays as it is."""
    home.mkdir(parents=True, exist_ok=True)
    if not (there := home / name).exists():
        shutil.copyfile(_database(), there)
    return home


def _database() -> Path:
    _KEPT.mkdir(exist_ok=True)
    kept = _KEPT / f"prefect-{version('prefect')}.db"
    with (_KEPT / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
            with TemporaryDirectory(dir=_KEPT) as home:
                command = [sys.executable, "-c", _MAKE]
                subprocess.run(command, env={**clean, "PREFECT_HOME": home}, check=True, capture_output=True)
                made_there = Path(home) / "prefect.db"
                with closing(sqlite3.connect(made_there)) as database:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                made_there.replace(kept)
    return kept

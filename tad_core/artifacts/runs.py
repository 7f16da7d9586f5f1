"""What runs were started on a store and how they ended, so that one that was not finished is found again.

One small JSON file a run under ``<store>/.runs``; nothing that decides a result.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict

from tad_core.artifacts.files import list_names, machine, read_bytes, write_bytes
from tad_core.artifacts.fingerprint import fingerprint
from tad_core.artifacts.leases import same_process

_KEPT = 200


class RunRecord(BaseModel):
    """One run: what was asked for, who runs it, in which folder (relative paths start there), and how far it came.

    ``force``: the stages that it was to compute again.
    """

    model_config = ConfigDict(extra="ignore")
    id: str
    until: str
    config: dict[str, Any]
    force: list[str] = []
    state: Literal["running", "done", "failed", "stopped", "killed"] = "running"
    message: str = ""
    flow_run_id: str | None = None
    folder: str = ""
    machine: str
    pid: int
    process_started: float
    started_at: float
    ended_at: float | None = None

    @property
    def alive(self) -> bool | None:
        """Whether its process is still there; None if it is another machine's and cannot be seen."""
        if self.machine != machine():
            return None
        return same_process(self.pid, self.process_started)

    @property
    def host(self) -> str:
        """The machine, for people."""
        return self.machine.partition(".")[0]

    @property
    def asked(self) -> str:
        """Equal for runs that were asked for the same."""
        return fingerprint("run", 1, {"config": self.config, "until": self.until}, [])


def begin(
    root: str,
    config: dict[str, Any],
    until: str,
    flow_run_id: str | None = None,
    force: Collection[str] = (),
) -> RunRecord:
    """Note that a run starts; ``root`` is the store's."""
    now = time.time()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%f")
    record = RunRecord(
        id=f"{stamp}-{uuid4().hex[:6]}",
        until=until,
        config=config,
        force=sorted(force),
        flow_run_id=flow_run_id,
        folder=str(Path.cwd()),
        machine=machine(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        started_at=now,
    )
    save(root, record)
    return record


def save(root: str, record: RunRecord) -> None:
    """Write a record, or write it again."""
    write_bytes(f"{root}/.runs/{record.id}.json", record.model_dump_json(indent=1).encode())


def end(root: str, record: RunRecord, state: Literal["done", "failed", "stopped"], message: str = "") -> None:
    """Note how a run ended."""
    save(root, record.model_copy(update={"state": state, "message": message, "ended_at": time.time()}))


def records(root: str) -> Iterator[RunRecord]:
    """The newest ones first, at most a few hundred; those that cannot be read, as another user's, are left out."""
    names = [name for name in list_names(f"{root}/.runs") if name.endswith(".json")]
    for name in sorted(names, reverse=True)[:_KEPT]:
        try:
            record = RunRecord.model_validate(json.loads(read_bytes(f"{root}/.runs/{name}") or b""))
        except (OSError, ValueError):  # half of one, from a disk that was full
            continue
        yield record


def unfinished(root: str, name: str | None = None) -> list[RunRecord]:
    """Runs that did not come to their end and were not done by a later one; newest first.

    Args:
        root: the store's.
        name: only runs of the configuration of this name.
    """
    found, settled = [], set()
    for record in records(root):
        if (
            record.asked not in settled
            and record.state != "done"
            and name in (None, record.config.get("name"))
        ):
            found.append(record)
        settled.add(record.asked)
    return found

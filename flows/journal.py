"""A run's own record in the store: how ``tad resume`` finds it, and how one that was killed is told to the server."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Crashed

from tad_core.artifacts import Store
from tad_core.artifacts.runs import RunRecord, begin, end, records, save
from tad_core.artifacts.unwritable import disk_errors
from tad_core.config import TADConfig
from tad_core.errors import in_a_line
from tad_core.signals import asked_to_stop
from tad_core.stages.pipeline import Stage

_log = logging.getLogger(__name__)
_UNREACHABLE = (httpx.HTTPError, PrefectException, OSError)


@contextmanager
def recorded(config: TADConfig, store: Store, until: Stage, force: Collection[str] = ()) -> Iterator[None]:
    """Note that this run starts and how it ends; earlier ones whose process is gone are marked first.

    A record is for ``tad resume`` alone: a run goes on without one, but not on a disk that takes nothing.

    Raises:
        ArtifactError: the disk of the store takes no record, and so nothing else.
    """
    context = FlowRunContext.get()
    run_id = str(context.flow_run.id) if context and context.flow_run else None
    record: RunRecord | None = None
    with _told("begins"), disk_errors(store.root):
        mark_killed(store)
        tree = {**config.model_dump(mode="json"), "store": store.root}
        record = begin(store.root, tree, until, run_id, force)
    try:
        yield
    except Exception as error:
        if asked_to_stop():
            _end(store, record, "stopped")
        else:
            _end(store, record, "failed", in_a_line(error))
        raise
    except BaseException:
        _end(store, record, "stopped")
        raise
    _end(store, record, "done")


def _end(
    store: Store, record: RunRecord | None, state: Literal["done", "failed", "stopped"], message: str = ""
) -> None:
    """Note how it ended, which is as it is whether or not the note can be written."""
    if record is not None:
        with _told("ended"):
            end(store.root, record, state, message)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Inside, a store that does not answer is a warning."""
    try:
        yield
    except OSError as error:
        _log.warning("that this run %s could not be noted for tad resume: %s", what, error)


def mark_killed(store: Store) -> None:
    """Runs of this machine whose process is gone did not say so: note it, and tell the server they crashed."""
    later: set[str | None] = set()  # newest first: a retry of the same run may be alive in another process
    for record in records(store.root):
        if record.state == "running" and record.alive is False:
            with suppress(PermissionError):  # another user's
                save(store.root, record.model_copy(update={"state": "killed"}))
            if record.flow_run_id is not None and record.flow_run_id not in later:
                _tell_crashed(record)
        later.add(record.flow_run_id)


def _tell_crashed(record: RunRecord) -> None:
    run_id = UUID(record.flow_run_id)
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run_id).state
            context = FlowRunContext.get()
            mine = context.flow_run.id if context and context.flow_run else None
            if run_id != mine and state is not None and state.is_running():
                message = "its process was killed; what it finished is in the store"
                client.set_flow_run_state(run_id, Crashed(message=message), force=True)
    except _UNREACHABLE as error:  # another server's run, or none is there
        _log.debug("run %s could not be marked: %s", run_id, error)

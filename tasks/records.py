"""What a run leaves in Prefect's UI: progress artifacts while it works, markdown and pictures when it is done."""

from __future__ import annotations

import base64
import logging
import re
import time
from contextvars import Context, copy_context
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException

from tasks.progress import Snapshot
from tasks.retrying import requests_retried

_log = logging.getLogger(__name__)

#: A picture or a table is never worth losing a run for.
_UNREACHABLE = (httpx.HTTPError, PrefectException, OSError)
#: After a request that failed no progress is sent for so long: each may take as long as a request's time-out.
_PAUSE_S = 60.0
#: Tables and pictures come once, and are worth a minute.
_RETRIES = 5


class PrefectSink:
    """Progress artifacts of the running flow, one a stage, written at most every ``every_s`` seconds.

    They belong to the task that works, so that the report stands alone among what belongs to the run itself, which the
    UI shows first; a stage in which no task works, because it was found in the store, has none. A retried run goes on
    with the artifacts it has. Whoever reports progress waits for the request, so it is not tried again: the next one
    says more.
    """

    def __init__(self, every_s: float = 3.0) -> None:
        self._every_s = every_s
        self._ids: dict[str, UUID] = {}
        self._contexts: dict[str, Context] = {}
        self._last: dict[str, float] = {}
        self._away_until = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Create or update the stage's artifact, if it is time to."""
        now = time.monotonic()
        if snapshot.stage not in self._ids and TaskRunContext.get() is None:
            return
        if not snapshot.finished and now - self._last.get(snapshot.stage, -self._every_s) < self._every_s:
            return
        if now < self._away_until:
            return
        self._last[snapshot.stage] = now
        # Later reports come from threads of the stage's own, which have no context: without it Prefect knows nothing of
        # the run's server and starts another one, and the run waits for that, or ends with it on a busy machine.
        context = self._contexts.setdefault(snapshot.stage, copy_context())
        try:
            context.copy().run(self._send, snapshot)
        except _UNREACHABLE as error:
            self._away_until = time.monotonic() + _PAUSE_S
            _log.debug("progress of %s could not be recorded: %s", snapshot.stage, error)

    def _send(self, snapshot: Snapshot) -> None:
        percent = min(max(snapshot.percent, 0.0), 100.0)
        with requests_retried(0):
            if snapshot.stage not in self._ids:
                key = artifact_key(f"{snapshot.stage}-progress")
                found = _found(key)
                if found is None:
                    made = create_progress_artifact(percent, key=key, description=snapshot.line())
                    self._ids[snapshot.stage] = cast(UUID, made)
                    return
                self._ids[snapshot.stage] = found
            update_progress_artifact(self._ids[snapshot.stage], percent, snapshot.line())


def record_markdown(key: str, markdown: str, description: str) -> None:
    """A markdown artifact of the running flow, written anew where a retried run has it; nothing outside a flow."""
    if FlowRunContext.get() is None:
        return
    key = artifact_key(key)
    try:
        with requests_retried(_RETRIES):
            found = _found(key)
            if found is None:
                create_markdown_artifact(markdown, key=key, description=description)
                return
            with get_client(sync_client=True) as client:
                client.update_artifact(found, ArtifactUpdate(data=markdown, description=description))
    except _UNREACHABLE as error:
        _log.warning("%s could not be recorded in Prefect: %s", key, error)


def tag_run(*tags: str) -> None:
    """Add tags to the running flow; its name is the user's."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    try:
        with requests_retried(0), get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, tags=[*context.flow_run.tags, *tags])
    except _UNREACHABLE as error:
        _log.debug("the run could not be tagged: %s", error)


def _found(key: str) -> UUID | None:
    """The artifact of that key that an earlier try of this run has left."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    mine = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[context.flow_run.id])
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=mine, sort=ArtifactSort.CREATED_DESC, limit=1)
    return found[0].id if found else None


def with_pictures(markdown: str, folder: Path) -> str:
    """Markdown whose local PNG files are put inside as data URIs, so that it needs no other file or network."""

    def inline(match: re.Match[str]) -> str:
        file = folder / match.group(2)
        if file.suffix != ".png" or not file.is_file():
            return match.group(0)
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        return f"![{match.group(1)}](data:image/png;base64,{data})"

    return re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", inline, markdown)


def artifact_key(text: str) -> str:
    """Lowercase letters, digits and dashes: all that Prefect takes in a key."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

"""What a run leaves in Prefect's UI: progress artifacts while it works, markdown and pictures when it is done."""

from __future__ import annotations

import base64
import logging
import re
import time
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from tasks.progress import Snapshot

_log = logging.getLogger(__name__)

#: A picture or a table is never worth losing a run for.
_UNREACHABLE = (httpx.HTTPError, PrefectException, OSError)


class PrefectSink:
    """Progress artifacts of the running flow, one a stage, written at most every ``every_s`` seconds."""

    def __init__(self, every_s: float = 3.0) -> None:
        self._every_s = every_s
        self._ids: dict[str, UUID] = {}
        self._last: dict[str, float] = {}

    def show(self, snapshot: Snapshot) -> None:
        """Create or update the stage's artifact, if it is time to."""
        now = time.monotonic()
        if not snapshot.finished and now - self._last.get(snapshot.stage, -self._every_s) < self._every_s:
            return
        self._last[snapshot.stage] = now
        percent = min(max(snapshot.percent, 0.0), 100.0)
        try:
            if snapshot.stage in self._ids:
                update_progress_artifact(self._ids[snapshot.stage], percent, snapshot.line())
            elif FlowRunContext.get() is not None:
                key = artifact_key(f"{snapshot.stage}-progress")
                made = create_progress_artifact(percent, key=key, description=snapshot.line())
                self._ids[snapshot.stage] = cast(UUID, made)
        except _UNREACHABLE as error:
            _log.debug("progress of %s could not be recorded: %s", snapshot.stage, error)


def record_markdown(key: str, markdown: str, description: str) -> None:
    """A markdown artifact of the running flow; nothing outside a flow."""
    if FlowRunContext.get() is None:
        return
    try:
        create_markdown_artifact(markdown, key=artifact_key(key), description=description)
    except _UNREACHABLE as error:
        _log.warning("%s could not be recorded in Prefect: %s", key, error)


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

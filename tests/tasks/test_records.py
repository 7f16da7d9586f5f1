from __future__ import annotations

import base64
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tad_core.progress import Progress
from tasks import records
from tasks.progress import Board
from tasks.records import PrefectSink, artifact_key, record_markdown, tag_run, with_pictures


def test_pictures_come_inside_the_markdown(tmp_path: Path) -> None:
    (tmp_path / "curve.png").write_bytes(b"\x89PNG")
    text = "![Curve](curve.png) and ![away](http://x/y.png) and ![gone](gone.png)"
    data = base64.b64encode(b"\x89PNG").decode()
    assert with_pictures(text, tmp_path) == text.replace("(curve.png)", f"(data:image/png;base64,{data})")


def test_keys_are_what_prefect_takes() -> None:
    assert artifact_key("distill Quality_1-progress") == "distill-quality-1-progress"


def test_outside_a_flow_nothing_is_recorded() -> None:
    record_markdown("key", "text", "nothing here to record it")
    with Board([PrefectSink()]).row("collect", 1):
        pass


def test_progress_from_any_thread_goes_to_the_server_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of a stage's own has no context: there Prefect would start another server for every report."""
    asked: list[str | None] = []

    def ask(*_: Any, **__: Any) -> Any:
        asked.append(PREFECT_API_URL.value())
        return uuid4()

    monkeypatch.setattr(records, "TaskRunContext", SimpleNamespace(get=object))
    monkeypatch.setattr(records, "_found", lambda key: None)
    monkeypatch.setattr(records, "create_progress_artifact", ask)
    monkeypatch.setattr(records, "update_progress_artifact", ask)
    url = "http://127.0.0.1:1/api"
    with (
        temporary_settings({PREFECT_API_URL: url}),
        Board([PrefectSink(every_s=0)]).row("evaluate", 8) as row,
    ):
        listen = row.listener()
        for done in (4, 8):
            thread = threading.Thread(target=listen, args=(Progress("evaluate", done, 8),))
            thread.start()
            thread.join()
    assert len(asked) == 5 and set(asked) == {url}


def left_by(run_id: Any) -> list[Any]:
    """What a run shows in the UI; tests of one worker share a server, where others have the same keys."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [a for a in client.read_artifacts(limit=200) if a.key and a.flow_run_id == run_id]


def test_a_run_leaves_progress_and_tables_once_however_often_it_is_tried(prefect_here: None) -> None:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.utilities.annotations import quote

    tries: list[int] = []

    @task(cache_policy=NO_CACHE)
    def work(row: Any) -> None:
        listen = row.listener()
        for done in (4, 8):
            listen(Progress("collect", done, 8))

    @flow(retries=1)
    def run() -> Any:
        tries.append(len(tries))
        board = Board([PrefectSink(every_s=0)])
        with board.row("filter", 8) as found:
            found.ended(8)
        with board.row("collect", 8) as row:
            work(quote(row))
        record_markdown("kept", f"try {len(tries)}", "what was kept")
        if len(tries) == 1:
            raise ValueError("once more")

    state = run(return_state=True)
    assert state.is_completed() and len(tries) == 2
    artifacts = left_by(state.state_details.flow_run_id)
    assert sorted(a.key for a in artifacts) == ["collect-progress", "kept"], (
        "none twice, none of what was found"
    )
    progress, kept = sorted(artifacts, key=lambda a: a.key)
    assert progress.data == 100 and "8/8 samples" in str(progress.description)
    assert kept.data == "try 2"
    # What belongs to no task comes first in the UI, in no order: it is one.
    assert progress.task_run_id is not None and kept.task_run_id is None


def test_a_run_is_tagged_and_keeps_its_name_and_tags(prefect_here: None) -> None:
    from prefect import flow, tags
    from prefect.client.orchestration import get_client

    @flow
    def run() -> None:
        tag_run("smoke", "to report")

    with tags("mine"):
        state = run(return_state=True)
    with get_client(sync_client=True) as client:
        assert set(client.read_flow_run(state.state_details.flow_run_id).tags) == {
            "mine",
            "smoke",
            "to report",
        }


def test_progress_does_not_wait_for_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request, tried once, and then none for a while; the run's own requests keep their retries."""
    tries: list[int] = []
    now = [1000.0]

    def away(*_: Any) -> None:
        tries.append(PREFECT_CLIENT_MAX_RETRIES.value())
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(records, "update_progress_artifact", away)
    monkeypatch.setattr(records.time, "monotonic", lambda: now[0])
    sink = PrefectSink(every_s=3)
    sink._ids["collect"] = uuid4()
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 7}), Board().row("collect", 8) as row:
        for _ in range(100):
            sink.show(row.snapshot())
            sink.show(row.snapshot(finished=True))
            now[0] += 1
        assert PREFECT_CLIENT_MAX_RETRIES.value() == 7
    assert tries == [0, 0]

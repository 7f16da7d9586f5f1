from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks import records
from tasks.progress import Board
from tasks.records import PrefectSink, artifact_key, record_markdown, with_pictures


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


def test_a_run_leaves_progress_and_tables(prefect_here: None) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    from tad_core.progress import Progress

    @flow
    def run() -> Any:
        with Board([PrefectSink(every_s=0)]).row("collect", 8) as row:
            row.listener()(Progress("collect", 4, 8))
            row.listener()(Progress("collect", 8, 8))
        record_markdown("kept", "| a |\n|---|\n| 1 |", "what was kept")

    mine = run(return_state=True).state_details.flow_run_id
    with get_client(sync_client=True) as client:
        # Tests of one worker share a server: other runs leave artifacts with the same keys.
        found = {a.key: a for a in client.read_artifacts() if a.flow_run_id == mine}
    assert found["collect-progress"].data == 100
    assert "8/8 samples" in str(found["collect-progress"].description)
    assert found["kept"].data == "| a |\n|---|\n| 1 |"


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

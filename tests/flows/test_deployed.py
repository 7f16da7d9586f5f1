"""What is started from the form: wrong values, and whose name a run has."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.errors import SubprocessError
from tad_core.presence import expect_nothing


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What the runs of the test log; Prefect sets its loggers up once, without what was there."""
    from prefect.logging.configuration import setup_logging

    setup_logging()
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = logging.getLogger("prefect.flow_runs"), Keep()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("filled", "overrides", "message"),
    [
        ({"rollout": {"block_length": 48}}, [], "rollout.block_length: 48 does not divide response_length"),
        ({}, ["evaluate.models=[base, tad]"], "evaluate.models: 'tad' is not a model; use one of base, sft"),
    ],
)
def test_a_wrong_combination_is_one_message_and_no_traceback(
    prefect_here: None,
    logged: list[logging.LogRecord],
    filled: dict[str, Any],
    overrides: list[str],
    message: str,
) -> None:
    import flows.deployed

    state = flows.deployed.pipeline(preset="demo", changes=filled, overrides=overrides, return_state=True)
    assert state.is_failed() and str(state.message).startswith(message)
    assert not any(record.exc_info for record in logged), "a traceback"
    assert [r.getMessage() for r in logged if r.levelno >= logging.ERROR] == [state.message]


@pytest.mark.parametrize(
    ("error", "moved", "message"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/else/curve.json"),
            True,
            "is not there any more",
        ),
        (SubprocessError("the child found nothing either"), True, "is not there any more"),
        (
            PermissionError(13, "Forbidden", "s3://bucket/one"),
            False,
            "s3://bucket/one is refused (Forbidden)",
        ),
    ],
)
def test_what_a_store_did_is_one_message_and_no_traceback(
    prefect_here: None,
    logged: list[logging.LogRecord],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    moved: bool,
    message: str,
) -> None:
    import flows.deployed

    def fail(*_: object) -> None:
        Store(tmp_path / "store").check_writable(0)
        if moved:
            (tmp_path / "store").rename(tmp_path / "elsewhere")
        raise error

    monkeypatch.setattr(flows.deployed, "_started", fail)
    state = flows.deployed.pipeline(preset="demo", return_state=True)
    expect_nothing()
    assert state.is_failed() and message in str(state.message)
    assert not any(record.exc_info for record in logged), "a traceback"


def test_no_flow_of_the_form_replaces_the_name_of_a_run() -> None:
    from prefect import Flow

    import flows.deployed

    made = [flow for flow in vars(flows.deployed).values() if isinstance(flow, Flow)]
    ours = [flow for flow in made if flow.fn.__module__ == "flows.deployed"]
    assert len(ours) == 6 and not any(flow.flow_run_name for flow in ours)

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tad_core.errors import (
    PERMANENT_ERRORS,
    ArtifactError,
    ConfigError,
    KilledError,
    SubprocessError,
    VerifierError,
)
from tasks import progress
from tasks.retrying import RETRIED, STOPPING, may_pass

PASS = [SubprocessError("died"), KilledError("killed"), VerifierError("broke"), OSError(5, "disk")]
STAY = [*(kind("wrong") for kind in PERMANENT_ERRORS), ArtifactError("full"), TypeError("a bug")]


@pytest.mark.parametrize("error", [*PASS, *STAY], ids=lambda e: type(e).__name__)
def test_only_what_can_pass_is_tried_again(error: Exception, prefect_here: None) -> None:
    from prefect import flow, task

    tries = 0

    @task(**{**RETRIED, "retry_delay_seconds": 0, "retry_jitter_factor": None})
    def stage() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise error
        return "done"

    @flow
    def run() -> Any:
        return stage()

    if error in PASS:
        assert run() == "done" and tries == 3
    else:
        with pytest.raises(type(error)):
            run()
        assert tries == 1


def test_the_condition_is_a_plain_function_and_delays_grow() -> None:
    assert inspect.isfunction(may_pass)
    assert RETRIED["retry_delay_seconds"](3) == [5, 10, 20]


def test_nothing_is_tried_again_while_the_run_stops_and_a_retry_is_told() -> None:
    from prefect.client.schemas.objects import TaskRun
    from prefect.states import Failed

    said: list[str] = []

    class Listener:
        def show(self, snapshot: progress.Snapshot) -> None: ...

        def say(self, message: str) -> None:
            said.append(message)

    run = TaskRun.model_construct(name="collect privileged-00000-00064")
    state = Failed(data=SubprocessError("worker died\nlog lines"))
    with progress.watching(Listener()):
        assert may_pass(None, run, state)  # type: ignore[arg-type]
        STOPPING.set()
        try:
            assert not may_pass(None, run, state)  # type: ignore[arg-type]
        finally:
            STOPPING.clear()
        assert not may_pass(None, run, Failed(data=ConfigError("x")))  # type: ignore[arg-type]
    assert said == ["collect privileged-00000-00064 failed and is tried again: worker died"]

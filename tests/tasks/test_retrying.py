from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tad_core.config import TADConfig
from tad_core.errors import (
    PERMANENT_ERRORS,
    ArtifactError,
    ConfigError,
    KilledError,
    SubprocessError,
    VerifierError,
)
from tasks import distill as distilling
from tasks import progress
from tasks.progress import Board
from tasks.retrying import RETRIED, may_pass
from tasks.work import Work

PASS = [SubprocessError("died"), KilledError("killed"), VerifierError("broke"), OSError(5, "disk")]
STAY = [
    *(kind("wrong") for kind in PERMANENT_ERRORS),
    ArtifactError("full"),
    PermissionError(13, "no"),
    TypeError("a bug"),
]


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


def test_nothing_of_a_stopped_run_is_tried_again_and_a_retry_is_told(
    prefect_here: None, tiny_config: TADConfig
) -> None:
    from prefect import flow
    from prefect.client.schemas.objects import TaskRun
    from prefect.context import FlowRunContext
    from prefect.states import Failed

    said: list[str] = []

    class Listener:
        def show(self, snapshot: progress.Snapshot) -> None: ...

        def say(self, message: str) -> None:
            said.append(message)

    def tried_again(of: UUID, error: Exception) -> bool:
        run = TaskRun.model_construct(name="collect privileged-00000-00064", flow_run_id=of)
        return may_pass(None, run, Failed(data=error))  # type: ignore[arg-type]

    died = SubprocessError("worker died\nlog lines")

    @flow
    def run() -> UUID:
        context = FlowRunContext.get()
        assert context and context.flow_run
        this = context.flow_run.id
        for _ in range(2):  # the second as another try of the same run
            with pytest.raises(KeyboardInterrupt), Work(tiny_config, Board([])):
                assert tried_again(this, died)
                assert not tried_again(this, ConfigError("x"))
                raise KeyboardInterrupt
            assert not tried_again(this, died)
        return this

    with progress.watching(Listener()):
        stopped = run()
        assert not tried_again(stopped, died)
        assert tried_again(uuid4(), died), "another run of this process"
    assert said == ["collect privileged-00000-00064 failed and is tried again: worker died"] * 3


def test_a_forced_training_that_died_goes_on_where_it_was(
    prefect_here: None, tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow

    asked: list[tuple[bool, bool]] = []

    def train(*_: Any, force: bool, go_on: bool, on_begun: Callable[[], None], **__: Any) -> dict[str, Any]:
        asked.append((force, go_on))
        if len(asked) == 1:
            raise OSError(5, "disk")  # before anything of an earlier run went
        on_begun()
        if len(asked) < 4:
            raise SubprocessError("died")
        return {}

    monkeypatch.setattr(distilling.stage, "distill_together", train)
    again = {"retry_delay_seconds": 0, "retry_jitter_factor": None, "cache_key_fn": None}

    @flow
    def run(work: Work) -> None:
        with work.row("distill quality"):
            distilling._distill.with_options(**again)(work, "key", "quality", ["quality"], None, None, None)

    with Work(tiny_config, Board([]), ["distill"]) as work:
        run(work)
    assert asked == [(True, False), (True, False), (True, True), (True, True)]


def test_nothing_is_tried_again_once_ctrl_c_was_pressed(
    prefect_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow, task

    tries = 0

    @task(**{**RETRIED, "retry_delay_seconds": 0, "retry_jitter_factor": None})
    def stage() -> None:
        nonlocal tries
        tries += 1
        monkeypatch.setattr("tad_core.signals._asked", True)
        raise KilledError("killed")

    @flow
    def run() -> None:
        stage()

    with pytest.raises(KilledError):
        run()
    assert tries == 1

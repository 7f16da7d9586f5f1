"""Which failures are worth a second try, and after how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.tasks import Task, exponential_backoff

from tad_core import errors
from tad_core.errors import in_a_line
from tad_core.signals import asked_to_stop
from tasks.progress import say

#: Flow runs that are being stopped or were: nothing of theirs is tried again. By run, since a process may run
#: several flows, one after another or side by side.
STOPPED: set[UUID] = set()


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """``retry_condition_fn``: a plain function, since Prefect silently drops retries for any other callable."""
    del task
    if task_run.flow_run_id in STOPPED or asked_to_stop():
        return False
    error = state.result(raise_on_failure=False)
    if not errors.may_pass(error):
        return False
    say(f"{task_run.name} failed and is tried again: {in_a_line(error)}")
    return True


#: Options of every task that may be tried again: after about 5, 10 and 20 seconds.
RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=5),
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": may_pass,
}


@contextmanager
def requests_retried(most: int) -> Iterator[None]:
    """Inside, requests to the Prefect server are tried again at most so often, even where more is set.

    A run waits for minutes for a server that is busy or away before it gives up; shards that could be decoded in
    the meantime do not wait for what is only shown.
    """
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: min(most, PREFECT_CLIENT_MAX_RETRIES.value())}):
        yield

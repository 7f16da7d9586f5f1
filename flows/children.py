"""Child runs on the work pool that take shards on other hosts: started, looked after, ended."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Cancelled, Cancelling

from tad_core.errors import ConfigError, in_a_line
from tasks.progress import say
from tasks.retrying import requests_retried
from tasks.work import Work

_log = logging.getLogger(__name__)

#: Runs of one host that may be lost before it is left out.
ATTEMPTS = 4
_LOOK_S = 10.0
_UNREACHABLE = (httpx.HTTPError, PrefectException, OSError)


@dataclass
class _Child:
    host: int
    attempt: int = 0
    run_id: UUID | None = None
    over: bool = False


class Children:
    """``rollout.hosts`` less this one, each a run of ``rollout.worker_deployment``.

    A child that is lost (crashed, failed, cancelled) while shards are left is started again, at most ``ATTEMPTS``
    times. A parent that is tried again starts its own; children of an earlier try go on until no shard is left.
    """

    def __init__(self, work: Work, judge: bool = True) -> None:
        """``judge``: whether they judge what they decode."""
        self._judge = judge
        settings = work.config.rollout
        self._work, self._deployment = work, settings.worker_deployment
        first = 1 if settings.decode_here else 0
        self._children = [_Child(host) for host in range(first, settings.hosts)]
        self._looked_at = 0.0

    def __enter__(self) -> Self:
        try:
            for child in self._children:
                self._try_start(child)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        # A child that finds no shard left ends by itself; one that has not begun need not, and nobody waits for
        # the results of those of a run that was stopped.
        self._end(all_of_them=kind is not None)

    @property
    def gone(self) -> bool:
        """Whether there is none, or none that is started again."""
        return all(child.over for child in self._children)

    def look(self, missing: int) -> None:
        """Start children again that ended while shards are missing; at most every ``_LOOK_S``."""
        if not missing or time.monotonic() - self._looked_at < _LOOK_S:
            return
        self._looked_at = time.monotonic()
        for child in self._children:
            if child.over:
                continue
            if child.run_id is None:
                self._try_start(child)
                continue
            try:
                with requests_retried(0):
                    state = self._read(child.run_id).state
            except _UNREACHABLE as error:  # the server is away for a while: the shards do not need it
                _log.debug("child run %s could not be looked at: %s", child.run_id, error)
                continue
            if state is None or not state.is_final():
                continue
            if child.attempt >= ATTEMPTS:
                child.over = True
                continue
            say(f"collection on host {child.host} ended as {state.name} and is started again")
            self._try_start(child)

    def _try_start(self, child: _Child) -> None:
        """Start it, or at the next look if the server has no time now: the shards do not wait for that."""
        try:
            with requests_retried(0):
                self._start(child)
        except _UNREACHABLE as error:
            _log.warning("no child run for host %d yet: %s", child.host, in_a_line(error))

    def _start(self, child: _Child) -> None:
        context = FlowRunContext.get()
        parent = context.flow_run.id if context and context.flow_run else self._work.plan.fingerprint
        # The parent's own tries count too: a child of an earlier one that ended answers for its key for ever.
        tries = context.flow_run.run_count if context and context.flow_run else 0
        config = {**self._work.config.model_dump(mode="json"), "store": self._work.store.root}
        try:
            run: Any = run_deployment(
                name=self._deployment,
                parameters={
                    "config": config,
                    "host": child.host,
                    "hosts": self._work.config.rollout.hosts,
                    "collection": self._work.plan.fingerprint,
                    "judge": self._judge,
                },
                timeout=0,
                as_subflow=True,
                idempotency_key=f"{parent}-{tries}-{child.host}-{child.attempt + 1}",
                flow_run_name=f"collect {self._work.config.name} on host {child.host}",
            )
        except ObjectNotFound:
            raise ConfigError(
                f"rollout.worker_deployment: {self._deployment} is not a deployment of this Prefect server; run "
                "`make deploy`, name another, or set rollout.hosts to 1"
            ) from None
        child.run_id, child.attempt = run.id, child.attempt + 1

    def _end(self, all_of_them: bool = True) -> None:
        for child in self._children:
            if child.run_id is None:
                continue
            try:
                run = self._read(child.run_id)
                if run.state is None or run.state.is_final():
                    continue
                begun = run.state.is_running()
                if begun and not all_of_them:
                    continue
                with _client() as client:
                    client.set_flow_run_state(
                        child.run_id,
                        Cancelling(message="the parent run was stopped")
                        if begun
                        else Cancelled(message="no shard is left"),
                    )
            except _UNREACHABLE as error:
                _log.warning("child run %s could not be ended: %s", child.run_id, error)

    def _read(self, run_id: UUID) -> FlowRun:
        with _client() as client:
            return client.read_flow_run(run_id)


def _client() -> SyncPrefectClient:
    return get_client(sync_client=True)

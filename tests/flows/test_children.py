"""Child runs on other hosts: how many, started again when they are lost, ended with their parent."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Crashed, Failed, Running, Scheduled, State

from flows import children as module
from flows.children import ATTEMPTS, Children
from tad_core.config import parse_config
from tad_core.errors import ConfigError
from tests.drills.common import tree_of


class Server:
    """Stands for the deployment and the API."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.states: dict[UUID, State] = {}
        self.tries: list[int] = []

    def run_deployment(self, **call: Any) -> Any:
        self.calls.append(call)
        run = uuid4()
        self.states[run] = Running()
        return SimpleNamespace(id=run)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_flow_run(self, run: UUID) -> Any:
        self.tries.append(PREFECT_CLIENT_MAX_RETRIES.value())
        return SimpleNamespace(state=self.states[run])

    def set_flow_run_state(self, run: UUID, state: State) -> None:
        self.states[run] = state

    def names(self) -> list[str]:
        return [str(state.name) for state in self.states.values()]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(module, "run_deployment", server.run_deployment)
    monkeypatch.setattr(module, "_client", lambda: server)
    clock = itertools.count(1000, 60)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    return server


def work(folder: Path, **rollout: Any) -> Any:
    config = parse_config(tree_of("relative", 4, **rollout))
    return SimpleNamespace(
        config=config, store=SimpleNamespace(root=str(folder)), plan=SimpleNamespace(fingerprint="f" * 32)
    )


def test_one_machine_needs_no_child(server: Server, tmp_path: Path) -> None:
    with Children(work(tmp_path)) as children:
        children.look(4)
    assert server.calls == []


@pytest.mark.parametrize(("here", "hosts"), [(True, [1, 2]), (False, [0, 1, 2])])
def test_the_other_hosts_are_children_with_the_store_of_their_parent(
    here: bool, hosts: list[int], server: Server, tmp_path: Path
) -> None:
    with Children(work(tmp_path, hosts=3, decode_here=here)):
        pass
    parameters = [call["parameters"] for call in server.calls]
    assert [p["host"] for p in parameters] == hosts and {p["hosts"] for p in parameters} == {3}
    assert {p["config"]["store"] for p in parameters} == {str(tmp_path)}
    assert {p["collection"] for p in parameters} == {"f" * 32}
    assert server.calls[0]["name"] == "tad-collect-worker/collect-worker"


def test_a_lost_child_is_started_again_while_shards_are_left_and_not_for_ever(
    server: Server, tmp_path: Path
) -> None:
    with Children(work(tmp_path, hosts=2)) as children:
        for _ in range(2 * ATTEMPTS):
            server.states[list(server.states)[-1]] = Crashed()
            children.look(3)
        assert len(server.calls) == ATTEMPTS
        assert len({call["idempotency_key"] for call in server.calls}) == ATTEMPTS
        server.calls.clear()
        server.states[list(server.states)[-1]] = Completed()
        children.look(0)  # nothing is missing: it ended because of that
    assert server.calls == []


def test_shards_do_not_wait_until_a_child_can_be_looked_at(server: Server, tmp_path: Path) -> None:
    """Only who ends the children tries for minutes."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 7}), Children(work(tmp_path, hosts=2)) as children:
        children.look(3)
        assert server.tries == [0]
    assert server.tries == [0, 7]


def test_who_has_ended_for_good_is_known(server: Server, tmp_path: Path) -> None:
    with Children(work(tmp_path)) as none, Children(work(tmp_path, hosts=2)) as one:
        assert none.gone and not one.gone
        for _ in range(ATTEMPTS):
            server.states[list(server.states)[-1]] = Failed()
            one.look(3)
        assert one.gone


def test_at_the_end_who_has_not_begun_is_cancelled_and_after_a_stop_everybody(
    server: Server, tmp_path: Path
) -> None:
    with Children(work(tmp_path, hosts=3)):
        server.states[next(iter(server.states))] = Scheduled()
    assert server.names() == ["Cancelled", "Running"]
    with pytest.raises(KeyboardInterrupt), Children(work(tmp_path, hosts=2)):
        raise KeyboardInterrupt
    assert server.names() == ["Cancelled", "Running", "Cancelling"]


def test_a_deployment_that_is_not_there_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(**_: Any) -> Any:
        raise ObjectNotFound(http_exc=ValueError())

    monkeypatch.setattr(module, "run_deployment", none)
    with (
        pytest.raises(
            ConfigError, match=r"rollout\.worker_deployment: tad-collect-worker/collect-worker is not"
        ),
        Children(work(tmp_path, hosts=2)),
    ):
        pass


def test_a_server_without_time_is_asked_again_later(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(**_: Any) -> Any:
        raise httpx.HTTPStatusError(
            "503", request=httpx.Request("POST", "http://x"), response=httpx.Response(503)
        )

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_deployment", busy)
        children = Children(work(tmp_path, hosts=2))
        children.__enter__()
        children.look(3)
        assert server.calls == [] and not children.gone
    children.look(3)
    children.look(3)
    assert len(server.calls) == 1 and server.calls[0]["idempotency_key"].endswith("-1-1")
    children.__exit__(None, None, None)

"""Prefect's settings as the command leaves them, and what is said of a server that is there and does not serve."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import pytest

from tests.drills.common import ROOT, environment, tree_of, write


class Refusing(ThreadingHTTPServer):
    """Says that it is well; every other request gets ``status``, or no answer for 0."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.url = f"http://127.0.0.1:{self.server_port}/api"


class _Answer(BaseHTTPRequestHandler):
    server: Refusing

    def do_GET(self) -> None:
        known = {"/api/health": b"true", "/api/admin/version": b'"3.8.8"'}
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 200 if self.path in known else self.server.status
        if status:
            body = known.get(self.path, b'{"exception_message": "Service Unavailable"}')
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing(request: pytest.FixtureRequest) -> Iterator[Refusing]:
    with Refusing(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    ("refusing", "why", "remedy"),
    [
        (503, "answered HTTP 503 Service Unavailable", "wait until it is less busy"),
        (500, "answered HTTP 500 Internal Server Error", "look at its log"),
        (401, "answered HTTP 401 Unauthorized", "set PREFECT_API_AUTH_STRING"),
        (0, "does not answer (Server disconnected", "see that it runs"),
    ],
    indirect=["refusing"],
)
def test_a_server_that_does_not_serve_is_one_clear_error(
    refusing: Refusing, why: str, remedy: str, tmp_path: Path
) -> None:
    env = environment(tmp_path, "one", PREFECT_API_URL=refusing.url, PREFECT_CLIENT_MAX_RETRIES="0")
    config = write(tree_of(str(tmp_path / "store"), 2, workers=1), tmp_path)
    command = [sys.executable, "-m", "tests.drills.run", "collect", config]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"error: PREFECT_API_URL: {refusing.url} {why}" in output
    assert remedy in output and "run the same command again" in output
    assert "Traceback" not in output and "unexpected" not in output


def test_other_errors_stay_what_they_are() -> None:
    import httpx

    from flows.environment import server_errors

    hub = httpx.ConnectError("no route", request=httpx.Request("GET", "https://hub.example.org/api/x"))
    for error in (hub, httpx.ConnectError("of no request"), RuntimeError("a bug")):
        with pytest.raises(type(error)) as raised, server_errors("http://127.0.0.1:4200/api"):
            raise error
        assert raised.value is error


def test_a_busy_server_is_waited_for_some_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 as long as SQLite is locked; what was not set is long enough, and not for ever."""
    import httpx
    from prefect.client import base
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    from flows.environment import settle

    with mock.patch.dict(os.environ):
        os.environ.pop("PREFECT_CLIENT_MAX_RETRIES", None)
        settle()
        retries = int(os.environ["PREFECT_CLIENT_MAX_RETRIES"])
    waits: list[float] = []
    monkeypatch.setattr(base.time, "sleep", waits.append)
    busy = httpx.MockTransport(lambda request: httpx.Response(503))
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: retries}),
        base.PrefectHttpxSyncClient(transport=busy) as client,
        pytest.raises(httpx.HTTPStatusError, match="503"),
    ):
        client.post("http://127.0.0.1:4200/api/flow_runs/")
    until_the_last_try = sum(waits[:-1])  # it also waits after it, for nothing
    assert 180 < until_the_last_try < 360
    assert sum(waits) < 720


def test_what_the_user_has_set_stays() -> None:
    from flows.environment import settle

    with mock.patch.dict(os.environ, PREFECT_CLIENT_MAX_RETRIES="2"):
        settle()
        assert os.environ["PREFECT_CLIENT_MAX_RETRIES"] == "2"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"HTTP_PROXY": "http://p:1"}, {"NO_PROXY": "127.0.0.1,localhost,::1", "no_proxy": "127.0.0.1,localhost,::1"}),
        ({"ALL_PROXY": "socks5://p:1", "NO_PROXY": "corp.example, ::1"},
         {"NO_PROXY": "corp.example,::1,127.0.0.1,localhost"}),
        ({"https_proxy": "p:1", "no_proxy": "a", "NO_PROXY": "b"},
         {"no_proxy": "a,127.0.0.1,localhost,::1", "NO_PROXY": "b,127.0.0.1,localhost,::1"}),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "*"}, {"no_proxy": "*"}),
        ({"NO_PROXY": "a"}, {"NO_PROXY": "a"}),
        ({"HTTP_PROXY": ""}, {}),
    ],
)  # fmt: skip
def test_loopback_is_spared_and_what_the_user_has_set_stays(
    given: dict[str, str], wanted: dict[str, str]
) -> None:
    from urllib.request import proxy_bypass_environment

    import httpx

    from flows.environment import spare_loopback

    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
        os.environ.update(given)
        spare_loopback()
        spare_loopback()  # once is enough
        assert {name: value for name, value in os.environ.items() if name.lower() == "no_proxy"} == wanted
        if "127.0.0.1" in str(wanted):
            assert all(map(proxy_bypass_environment, ("127.0.0.1:4200", "localhost", "::1")))
            assert not proxy_bypass_environment("hub.example.org")
            del os.environ[next(name for name in given if not name.lower().startswith("no"))]
            os.environ["HTTP_PROXY"] = "http://p:1"
            with httpx.Client() as client:
                chosen = [client._transport_for_url(httpx.URL(f"http://{host}:4200")) for host in
                          ("127.0.0.1", "localhost", "[::1]", "hub.example.org")]  # fmt: skip
            assert [transport is client._transport for transport in chosen] == [True, True, True, False]


@pytest.mark.parametrize(
    ("proxy", "missing", "told"),
    [
        ("socks5://me:secret@p:1080", True,
         "ALL_PROXY=socks5://…@p:1080: not accepted (SOCKS needs the package socksio)"),
        ("ftp://p:1", False, "ALL_PROXY=ftp://p:1: not accepted (Unknown scheme for proxy URL"),
    ],
)  # fmt: skip
def test_a_proxy_that_the_client_does_not_take_is_one_clear_error(
    proxy: str, missing: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.environment import check_server
    from tad_core.errors import ConfigError

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALL_PROXY", proxy)
    if missing:
        import httpcore  # noqa: F401 (which looks for socksio once, when it is imported)

        monkeypatch.setitem(sys.modules, "socksio", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        check_server()
    assert str(caught.value).startswith(told) and "secret" not in str(caught.value)


def test_a_socks_proxy_does_not_stop_what_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("socksio")
    from flows.environment import check_proxies

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    check_proxies()

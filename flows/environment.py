"""Prefect as a guest: quiet, without telemetry, its home untouched; set before it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tad_core.errors import ConfigError, ServerError

if TYPE_CHECKING:
    import httpx

#: Defaults only: whatever the user has set stays. The logs still go to the server in full; only the terminal is
#: quiet, since it shows its own progress and one message for an error.
_DEFAULTS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A server with the shipped automation then notices a run whose process and worker are gone.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # A server on SQLite that still writes down the events of thousands of task runs answers 503 for minutes. The client
    # waits 2, 4, 8 … s between its tries: with Prefect's 5 retries the last comes after 1 minute, with 7 after 4.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    "DO_NOT_TRACK": "1",
}
_ANSWER_S = 5.0
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def spare_loopback() -> None:
    """Where a proxy is set, leave this machine's own addresses out of it, here and in every child.

    No proxy can reach what listens on the loopback of this machine: Prefect's server, by default. What the user has in
    ``NO_PROXY`` stays; libraries differ in which spelling of it they prefer, so every one that is there is completed.
    """
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return
    names = [name for name in ("NO_PROXY", "no_proxy") if name in os.environ] or ["NO_PROXY", "no_proxy"]
    for name in names:
        there = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        if "*" not in there:
            os.environ[name] = ",".join([*there, *(host for host in _LOOPBACK if host not in there)])


def check_proxies() -> None:
    """See that Prefect's HTTP client takes the proxies that are set; it refuses to start otherwise, also without need.

    Raises:
        ConfigError: it does not, with the variables.
    """
    import httpx

    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        known = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES}
        shown = ", ".join(
            f"{name.upper()}={_without_password(value)}" for name, value in known.items() if value
        )
        why = "SOCKS needs the package socksio" if isinstance(error, ImportError) else str(error)
        raise ConfigError(
            f"{shown}: not accepted ({why}); give http://HOST:PORT, install socksio for socks5://HOST:PORT, or unset it"
        ) from None


def _without_password(proxy: str) -> str:
    head, at, host = proxy.rpartition("@")
    return f"{head.partition('://')[0]}://…@{host}" if at and "://" in head else f"…@{host}" if at else host


def settle(loud: bool = False) -> None:
    """Set what is not set; ``loud`` leaves Prefect's log lines in the terminal."""
    for name, value in _DEFAULTS.items():
        if not (loud and name.startswith("PREFECT_LOGGING_HANDLERS")):
            os.environ.setdefault(name, value)


def check_server() -> str | None:
    """The URL of the server in use, None without one.

    Raises:
        ConfigError: a server is configured and does not answer, or no server can be asked through the proxies that
            are set; found here in seconds, not after the work.
    """
    check_proxies()
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        return None
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=_ANSWER_S):
            return url
    except HTTPError as error:
        if error.code in (401, 403):  # it is there and wants a key, which Prefect's own client will send
            return url
        why = f"HTTP {error.code}"
    except (URLError, OSError, ValueError) as error:
        why = str(getattr(error, "reason", error))
    raise ConfigError(
        f"PREFECT_API_URL: {url} does not answer ({why}); start it with `prefect server start`, or unset the "
        "variable to run without a server"
    )


@contextmanager
def server_errors(url: str) -> Iterator[None]:
    """Let a server that stays away or refuses end as one message that names it.

    Raises:
        ServerError: a request to the server at ``url`` failed for good; Prefect's client has tried again by then.
    """
    import httpx

    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        # What a client says whose first look at its server failed is a RuntimeError.
        cause = error.__cause__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, httpx.HTTPError) or not _is_request_to(url, cause):
            raise
        raise ServerError(_told(url, cause)) from error


def _is_request_to(url: str, error: httpx.HTTPError) -> bool:
    """Whether it is this server's fault: model hubs are asked by the same library."""
    try:
        return str(error.request.url).startswith(url.rstrip("/"))
    except RuntimeError:  # there was no request
        return False


def _told(url: str, error: httpx.HTTPError) -> str:
    import httpx

    remedy = "see that it runs and can be reached"
    if not isinstance(error, httpx.HTTPStatusError):
        why = f"does not answer ({str(error) or type(error).__name__})"
    else:
        code = error.response.status_code
        why = f"answered HTTP {code} {error.response.reason_phrase}"
        if code in (401, 403):
            remedy = "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what it wants"
        elif code == 503:
            remedy = "wait until it is less busy (SQLite serves a handful of runs, PostgreSQL a team)"
        else:
            remedy = "look at its log"
    return (
        f"PREFECT_API_URL: {url} {why}; what is finished is in the store: {remedy}, then run the same command "
        "again"
    )

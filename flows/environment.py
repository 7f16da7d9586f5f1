"""Prefect as a guest: quiet, without telemetry, its home untouched; set before it is imported."""

from __future__ import annotations

import os
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tad_core.errors import ConfigError

#: Defaults only: whatever the user has set stays. The logs still go to the server in full; only the terminal is
#: quiet, since it shows its own progress and one message for an error.
_DEFAULTS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A server with the shipped automation then notices a run whose process and worker are gone.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "DO_NOT_TRACK": "1",
}
_ANSWER_S = 5.0


def settle(loud: bool = False) -> None:
    """Set what is not set; ``loud`` leaves Prefect's log lines in the terminal."""
    for name, value in _DEFAULTS.items():
        if not (loud and name.startswith("PREFECT_LOGGING_HANDLERS")):
            os.environ.setdefault(name, value)


def check_server() -> str | None:
    """The URL of the server in use, None without one.

    Raises:
        ConfigError: a server is configured and does not answer; found here in seconds, not after the work.
    """
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

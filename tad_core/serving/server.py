"""The socket and its end: uvicorn around the application."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from tad_core.errors import ConfigError
from tad_core.serving.guard import is_loopback

#: Connections beyond this are answered 503 by the server itself, whatever they ask.
MAX_CONNECTIONS = 1024
_KEEP_ALIVE_S = 75


def check_address(host: str, api_key: str | None) -> None:
    """Refuse to be open to everybody, before anything is loaded.

    Raises:
        ConfigError: other machines could reach it without a key.
    """
    if not api_key and not is_loopback(host):
        raise ConfigError(
            f"--host: {host} can be reached from other machines, and there is no key; give --api-key (or TAD_API_KEY), "
            "or use 127.0.0.1"
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket that nobody listens on yet.

    Raises:
        ConfigError: the address is not this machine's, or taken.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(
            f"--host: {host} is not an address ({error}); use 127.0.0.1 or one of this machine's"
        ) from None
    listening = socket.socket(family, kind, proto)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise _refused(host, port, error) from None
    return listening


def _refused(host: str, port: int, error: OSError) -> ConfigError:
    taken = error.errno == errno.EADDRINUSE
    what = "is taken; use another, or 0 for any" if taken else f"({error.strerror})"
    return ConfigError(f"--port: {port} of {host} {what}")


def url_of(listening: socket.socket) -> str:
    """Where it is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listening: socket.socket, drain_s: float, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; then take nothing new, and end when what runs is answered.

    Args:
        app: from ``make_app``.
        listening: from ``bind``.
        drain_s: most seconds that the end takes.
        on_ready: called when requests are taken.

    Raises:
        ConfigError: another server, bound to the same port as long as neither listened, listens there by now.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=max(1, round(drain_s)), server_header=False,
    )  # fmt: skip
    try:
        listening.listen(config.backlog)
    except OSError as error:
        host, port = listening.getsockname()[:2]
        listening.close()
        raise _refused(host, port, error) from None
    try:
        Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn passes on the signal that ended it, when all is answered
        pass
    finally:
        listening.close()

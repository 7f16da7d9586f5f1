"""Who may ask: in front of every route."""

from __future__ import annotations

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tad_core.serving.faults import RequestError

#: What needs no key: the page holds nothing, and whoever watches the server has none.
OPEN = ("/", "/health")


def is_loopback(host: str) -> bool:
    """Whether that is an address, or the name, by which only this machine reaches itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses other names of this host, and clients without the key."""

    def __init__(self, app: ASGIApp, api_key: str | None, loopback: bool) -> None:
        """In front of ``app``.

        Args:
            app: what is guarded.
            api_key: None: none is asked for.
            loopback: whether only this machine can reach the server.
        """
        self._app, self._loopback = app, loopback
        self._wanted = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, or answer it here. A slash at the end of a path changes nothing: who posts to it would be sent
        elsewhere, and many clients do not go."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        refused = self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refused is None else refused.response())(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # A page of another origin that had its own name point here would send that name.
        if self._loopback and not is_loopback(_name_in(host)):
            return RequestError(403, f"host: {host!r:.80} is not a name of this machine; use localhost")
        if self._wanted is not None and scope["path"] not in OPEN:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            # As it was sent: headers are read as Latin-1, whatever they are.
            if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode("latin-1"), self._wanted):
                return RequestError(
                    401, "authorization: the API key is missing or wrong; send Bearer and the key"
                )
        return None


def _name_in(host: str) -> str:
    """Of a header's name or address, and maybe a port, in lower case."""
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    return name[1:-1] if name.startswith("[") and ":" in name else name.lower()

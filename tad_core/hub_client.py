"""How the hub is asked: what for is said at once, and a hub that cannot be reached is not asked again and again.

Its own clients try each of several requests six times, half a minute in all, before they look into the local cache or
give up: minutes until an error, or until a cached data set is read. Here the first connection decides: without one,
this and the next requests end as under ``HF_HUB_OFFLINE``, which all of them understand. Once the hub has answered,
their own tries are left as they are, so that a long download outlives a bad moment of the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

#: Seconds to wait for a connection to one address of the hub, and for which one that failed is not tried again.
_CONNECT_S, _AGAIN_S = 5.0, 30.0


class HubAsked:
    """What is known of the hub in this process.

    Attributes:
        say: told what is asked for before the first request for it.
        refused: why the hub could not be reached, with its address; empty where it was, or was not asked.
    """

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda _: None
        self.refused = ""
        self._refused_at = 0.0
        self._answered: set[str] = set()
        self._said: set[str] = set()

    def send(self, plain: Callable[[], Any], request: Any, unreachable: tuple[type[Exception], ...]) -> Any:
        """A request, sent by ``plain``; ``unreachable`` are its errors of a connection that does not come about.

        Raises:
            OfflineModeIsEnabled: the hub cannot be reached, or could not a moment ago.
        """
        from huggingface_hub import constants
        from huggingface_hub.errors import OfflineModeIsEnabled

        url = request.url
        host, wanted = f"{url.scheme}://{url.netloc.decode()}", _wanted(url.path)
        if host in self._answered or constants.is_offline_mode():
            return plain()
        if wanted and (told := f"asking {host} for {wanted}") not in self._said:
            self._said.add(told)
            self.say(told)
        if self.refused.startswith(host) and time.monotonic() - self._refused_at < _AGAIN_S:
            raise OfflineModeIsEnabled(self.refused)
        limits = request.extensions.get("timeout", {})
        limits["connect"] = min(limits.get("connect") or _CONNECT_S, _CONNECT_S)
        try:
            response = plain()
        except unreachable as error:
            self.refused, self._refused_at = f"{host} cannot be reached: {error}", time.monotonic()
            raise OfflineModeIsEnabled(self.refused) from error
        self._answered.add(host)
        self.refused = ""
        return response


#: The one of this process.
HUB = HubAsked()


def ask_once() -> None:
    """Let the hub's clients of this process work so from now on; a second call changes nothing."""
    import huggingface_hub

    if not hasattr(huggingface_hub, "set_client_factory"):  # before 1.0, on another HTTP library
        return
    plain = huggingface_hub.get_session()
    base = type(plain)
    if hasattr(base, "asks_once"):
        return
    library = _library(base)
    unreachable = (library.ConnectError, library.ConnectTimeout, library.ProxyError)

    def send(self: Any, request: Any, **options: Any) -> Any:
        return HUB.send(lambda: base.send(self, request, **options), request, unreachable)

    made = type("AsksOnce", (base,), {"send": send, "asks_once": True})
    settings = {name: getattr(plain, name) for name in ("event_hooks", "follow_redirects", "timeout")}
    huggingface_hub.set_client_factory(lambda: made(**settings))


def failures() -> tuple[type[Exception], ...]:
    """What its clients raise where the hub or the network does not do as asked; not all of theirs are ``OSError``."""
    import huggingface_hub

    if not hasattr(huggingface_hub, "set_client_factory"):
        return OSError, ValueError
    return OSError, ValueError, _library(type(huggingface_hub.get_session())).HTTPError


def _library(client: type) -> Any:
    """The HTTP library of the hub's client, which has changed its name between versions."""
    base = next(each for each in client.__mro__ if each.__module__ != __name__)
    return import_module(base.__module__.partition(".")[0])


def _wanted(path: str) -> str:
    """The repository of a request's path, ``datasets/openai/gsm8k`` or ``GSAI-ML/LLaDA-8B-Instruct``; empty if none."""
    parts = [part for part in path.split("/") if part and part not in ("api", "models")]
    named = 3 if parts[:1] == ["datasets"] else 2
    return "/".join(parts[:named]) if len(parts) >= named else ""

"""What goes wrong, as OpenAI tells it: ``{"error": {"message", "type", "param", "code"}}`` and a status."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from tad_core.config import elsewhere
from tad_core.errors import LogitsError, TADError
from tad_core.serving.tickets import BusyError, ClosingError, CrowdError

NOTHING: Mapping[str, str] = MappingProxyType({})
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class RequestError(Exception):
    """A request that gets no answer.

    Attributes:
        status: of HTTP.
        param: field of the body.
        code: for programs.
    """

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    @property
    def body(self) -> dict[str, Any]:
        """As it is sent."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self, headers: Mapping[str, str] = NOTHING) -> JSONResponse:
        """As an answer; with a time to wait where trying again helps, and the kind of key where one is asked for."""
        more = {429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}
        return JSONResponse(self.body, self.status, {**headers, **more.get(self.status, {})})


def of_validation(error: ValidationError, given: Any) -> RequestError:
    """What is wrong with a body at the first place where something is, in one line.

    Args:
        error: of the body's model. Where it takes several types, each has said what it misses.
        given: the body.
    """
    found = [
        (_place(e["loc"], given, e["type"] == "missing"), e)
        for e in error.errors(include_url=False, include_context=False)
    ]
    field = found[0][0][:1]
    # Of the types that a field takes, the one that came furthest is the one that was meant.
    place = max((p for p, _ in found if p[:1] == field), key=len)
    here = [e for p, e in found if p == place]
    param, first = ".".join(map(str, place)) or None, here[0]
    if first["type"] == "extra_forbidden":
        meant = elsewhere.said(elsewhere.REQUEST, str(param)) or "see docs/serving.md for what is"
        return RequestError(400, f"{param}: is not known; {meant}", param, "unknown_parameter")
    told = dict.fromkeys(str(e["msg"]).removeprefix("Value error, ") for e in here)
    message = " or ".join(text.removeprefix("Input should be ") if i else text for i, text in enumerate(told))
    value = first.get("input")
    shown = f" (it is {value!r:.80})" if param and isinstance(value, (str, int, float)) else ""
    if param is None:
        param = message.split(":")[0] if ":" in message else None
        return RequestError(400, message, param, "invalid_value")
    return RequestError(400, f"{param}: {message}{shown}", param, "invalid_value")


def _place(loc: tuple[int | str, ...], given: Any, missing: bool) -> tuple[int | str, ...]:
    """Where in the body that is: without the names of types that pydantic puts between; one that is missing is no
    place of it yet."""
    place: list[int | str] = []
    for part in loc:
        try:
            given = given[part]
        except (LookupError, TypeError):  # of a text, a number …
            if not (missing and part == loc[-1]):
                continue
        place.append(part)
    return tuple(place)


def of_failure(error: BaseException) -> RequestError:
    """Of a sample that got no answer."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, BusyError):
        return RequestError(429, str(error), code="queue_full")
    if isinstance(error, CrowdError):
        return RequestError(400, str(error), code="too_many_responses")
    if isinstance(error, ClosingError):
        return RequestError(503, str(error), code="shutting_down")
    if isinstance(error, LogitsError):  # the next try finds the same
        return RequestError(500, str(error), code="not_numbers")
    if isinstance(error, TADError):
        return RequestError(503, str(error), code="not_served")
    return RequestError(500, "the server failed on this request; its log says more", code="internal_error")

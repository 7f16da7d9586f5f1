"""What goes wrong, as OpenAI tells it: ``{"error": {"message", "type", "param", "code"}}`` and a status."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from tad_core.errors import TADError
from tad_core.serving.tickets import BusyError, ClosingError, CrowdError

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

    def response(self) -> JSONResponse:
        """As an answer; with a time to wait where trying again helps."""
        headers = {"Retry-After": "1"} if self.status in (429, 503) else None
        return JSONResponse(self.body, self.status, headers)


def of_validation(error: ValidationError) -> RequestError:
    """The first thing that is wrong with a body, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [
        str(part) for part in first["loc"] if not str(part).startswith(("list[", "constrained-", "function-"))
    ]
    param = ".".join(place) or None
    if first["type"] == "extra_forbidden":
        return RequestError(
            400, f"{param}: is not known; see docs/serving.md for what is", param, "unknown_parameter"
        )
    message = str(first["msg"]).removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (it is {given!r:.80})" if param and isinstance(given, (str, int, float)) else ""
    if param is None:
        param = message.split(":")[0] if ":" in message else None
        return RequestError(400, message, param, "invalid_value")
    return RequestError(400, f"{param}: {message}{shown}", param, "invalid_value")


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
    if isinstance(error, TADError):
        return RequestError(503, str(error), code="not_served")
    return RequestError(500, "the server failed on this request; its log says more", code="internal_error")

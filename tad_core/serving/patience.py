"""What is done with clients that go away, never end, or do not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tad_core.serving.faults import RequestError

#: A body this long is read; 200 pages of text are shorter.
MAX_BODY_BYTES = 1 << 20
#: A client that has not sent its body after this long, or does not read a piece that it was sent, is given up.
BODY_S, READ_S = 30.0, 60.0
#: Letters at which many clients' readers end a line, and JSON does not: written as JSON may write any letter.
_LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
#: What nginx says of a client that went away; nobody reads it, the counters do.
GONE = 499


async def body_of(request: Request) -> Any:
    """The JSON of a request.

    Raises:
        RequestError: it is none, too long, too slow, or the client went away.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, f"content-type: {kind!r} is not accepted; send application/json")
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise RequestError(
                        413, f"the body is longer than {MAX_BODY_BYTES} bytes; shorten the prompt"
                    )
                parts.append(part)
    except TimeoutError:
        raise RequestError(408, f"the body did not come within {BODY_S:g} s; send it again") from None
    except ClientDisconnect:
        raise RequestError(GONE, "the client went away") from None
    try:
        tree = json.loads(b"".join(parts), parse_constant=_no_number)
        json.dumps(tree, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        return tree
    except (ValueError, RecursionError) as error:
        said = str(error).encode(errors="replace").decode()
        raise RequestError(400, f"the body is not JSON ({said})", code="invalid_json") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of ``work``, or None where the client went away: then it is cancelled."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class Events(Response):
    """Server-sent events; ``close`` is called however they end."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncIterator[dict[str, Any]], close: Callable[[], None]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._pieces, self._close = pieces, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them until the last, or until nobody is there to read them."""
        try:
            await unless_gone(receive, self._send(send))
        except (TimeoutError, OSError):
            pass  # it does not read, or its connection broke while it was sent something
        finally:
            self._close()

    async def _send(self, send: Send) -> None:
        async def patiently(message: dict[str, Any]) -> None:
            async with asyncio.timeout(READ_S):
                await send(message)

        await patiently({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._pieces) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                text = f"data: {json.dumps(piece, ensure_ascii=False).translate(_LINE_ENDS)}\n\n"
                await patiently({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await patiently({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

"""The routes: OpenAI's, and what a person or Prometheus looks at."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from tad_core.serving.faults import NOTHING, RequestError, of_failure, of_validation
from tad_core.serving.guard import Guard
from tad_core.serving.metrics import Metrics
from tad_core.serving.patience import GONE, Events, body_of, unless_gone
from tad_core.serving.requests import Asked, ChatAsked, TextAsked
from tad_core.serving.served import Served
from tad_core.serving.session import Session
from tad_core.serving.stream import Stream

PAGE = Path(__file__).with_name("page.html")
#: HEAD, too: what watches a server asks with it.
_READ = ["GET", "HEAD"]
#: The page draws itself and asks this server, nobody else.
_PAGE_RULES = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


@dataclass(frozen=True)
class Limits:
    """What a server gives.

    Attributes:
        slots: samples of a model that are decoded at once.
        waiting: samples that may wait for a slot, over all models.
        width: most tokens of a prompt with its response.
        timeout_s: after which a request is given up.
    """

    slots: int
    waiting: int
    width: int
    timeout_s: float


class Service:
    """The models behind the routes."""

    def __init__(self, models: list[Served], limits: Limits) -> None:
        self.models = {served.name: served for served in models}
        self.limits, self.created = limits, int(time.time())
        self.stream = Stream(
            {name: served.model for name, served in self.models.items()},
            limits.slots, limits.waiting, limits.width,
            {name: served.spec.lane.block for name, served in self.models.items()},
        )  # fmt: skip
        self.metrics = Metrics(lambda: self.stream.open, lambda: self.stream.running)

    def choose(self, name: str | None) -> Served:
        """The model of that name, or the only one."""
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name not in self.models:
            said = "model: it is missing" if name is None else f"model: {name!r:.80} is not served"
            raise RequestError(
                404 if name else 400, f"{said}; use {', '.join(self.models)}", "model", "model_not_found"
            )
        return self.models[name]

    async def complete(self, request: Request, kind: type[Asked]) -> Response:
        """One request for text."""
        route = request.url.path
        name, status = "", 500  # of what nobody expected
        try:
            try:
                asked = kind.model_validate(body := await body_of(request))
            except ValidationError as error:
                raise of_validation(error, body) from None
            served = self.choose(asked.model)
            name = served.name
            # Words of a long prompt take a second to find; the others are answered meanwhile.
            wish = await asyncio.to_thread(served.wish, asked, self.limits.width)
            session = Session(
                self.stream,
                served,
                wish,
                self.metrics,
                self.limits.timeout_s,
                bool(asked.canvas),
                kind is ChatAsked,
            )
            if asked.stream:
                options = asked.stream_options
                # A canvas is looked at for what it took.
                with_usage = bool(asked.canvas or (options and options.include_usage))
                status = 200
                return Events(session.chunks(with_usage), session.close)
            try:
                answer = await unless_gone(request.receive, session.answer())
            finally:
                session.close()
            if answer is None:
                raise RequestError(GONE, "the client went away")
            status = 200
            return JSONResponse(answer)
        except RequestError as fault:
            status = fault.status
            return fault.response()
        finally:
            self.metrics.request(route, name, status)


def make_app(
    models: list[Served], limits: Limits, api_key: str | None = None, loopback: bool = True
) -> FastAPI:
    """The application; its engine runs while its lifespan does.

    Args:
        models: in evaluation mode.
        limits: of the server.
        api_key: asked for on every route but / and /health.
        loopback: whether only this machine can reach it; then other names of the host are refused.
    """
    service = Service(models, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        service.stream.start()
        yield
        service.stream.close(limits.timeout_s)

    # Its own pages of documentation would fetch scripts from elsewhere.
    app = FastAPI(
        title="tad",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.add_middleware(Guard, api_key=api_key, loopback=loopback)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)
    _routes(app, service)
    return app


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path}: {error.detail}; see /v1/models and docs/serving.md"
    return RequestError(error.status_code, said).response(error.headers or NOTHING)


async def _failed(_: Request, error: Exception) -> Response:
    """Of a fault of ours; the log has it. The connection is closed behind it, and says so: a client would send the
    next request on it."""
    return of_failure(error).response({"Connection": "close"})


def _routes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await service.complete(request, ChatAsked)

    @app.post("/v1/completions")
    async def text(request: Request) -> Response:
        return await service.complete(request, TextAsked)

    @app.api_route("/v1/models", methods=_READ)
    async def models() -> Response:
        width = service.limits.width
        listed = [served.described(service.created, width) for served in service.models.values()]
        return JSONResponse({"object": "list", "data": listed})

    @app.api_route("/v1/models/{name:path}", methods=_READ)
    async def model(name: str) -> Response:
        try:
            return JSONResponse(service.choose(name).described(service.created, service.limits.width))
        except RequestError as fault:
            return fault.response()

    @app.api_route("/health", methods=_READ)
    async def health() -> Response:
        alive = service.stream.alive
        return JSONResponse({"status": "ok" if alive else "the engine has ended"}, 200 if alive else 503)

    @app.api_route("/metrics", methods=_READ)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.api_route("/", methods=_READ)
    async def page() -> Response:
        return FileResponse(PAGE, media_type="text/html", headers={"Content-Security-Policy": _PAGE_RULES})

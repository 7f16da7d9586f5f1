"""A server on a real socket, with two tiny models."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec
from tad_core.serving.app import Limits, make_app
from tad_core.serving.served import Served, Source
from tad_core.serving.server import bind, url_of
from tests.waiting import CEILING_S, get

CHAT = "/v1/chat/completions"
HELLO = {"model": "llada", "messages": [{"role": "user", "content": "hello"}]}
SPEC = DecodeSpec(16, 4, "entropy", 1.0, 0.25)


@contextlib.contextmanager
def running(models, limits: Limits, api_key: str | None = None) -> Iterator[tuple[str, object]]:
    """Address and service, until the block ends."""
    app = make_app(models, limits, api_key)
    listening = bind("127.0.0.1", 0)
    listening.listen(512)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=int(CEILING_S))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    url = url_of(listening)
    assert get(f"{url}/health").status_code == 200  # it listens already
    yield url, app.state.service
    server.should_exit = True
    thread.join(CEILING_S)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def models(tiny_checkpoint, tiny_dream_checkpoint):
    folders = {"llada": tiny_checkpoint, "dream": tiny_dream_checkpoint}
    return [
        Served.load(Source(n, ModelConfig(path=str(f), device="cpu"), spec=SPEC)) for n, f in folders.items()
    ]


@pytest.fixture(scope="module")
def server(models):
    with running(models, Limits(slots=4, waiting=300, width=256, timeout_s=CEILING_S)) as there:
        yield there

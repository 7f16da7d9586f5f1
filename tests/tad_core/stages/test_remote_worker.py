"""A remote store that does not answer a worker, whose words reach nobody but as its last lines."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.errors import NoAnswerError, StoreError
from tad_core.training.command import free_port
from tad_core.workers.jobs import ShardJob
from tad_core.workers.nursery import Nursery
from tad_core.workers.pool import Pool


def test_it_is_one_error_with_its_url_and_the_worker_lives_on(
    config: TADConfig, warm_nursery: Nursery
) -> None:
    store = Store(f"http://127.0.0.1:{free_port()}/store")  # nobody listens
    said = rf"^store: {re.escape(store.root)}/\S+ cannot be reached or refuses \([^\n]+\); [^\n]+ again$"
    lines: list[str] = []
    with Pool(config.model, nursery=warm_nursery, on_line=lines.append) as pool:
        for _ in range(2):
            with pytest.raises(NoAnswerError, match=said):
                pool.run(ShardJob(config, store, ("privileged", 0, 3)))
    assert not any("Traceback" in line for line in lines)


@pytest.fixture
def forbidden() -> Iterator[str]:
    """A web server that forbids everything."""

    class Forbids(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Forbids) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/store"
        server.shutdown()
        thread.join()


def test_one_that_refuses_is_asked_no_more(config: TADConfig, warm_nursery: Nursery, forbidden: str) -> None:
    with Pool(config.model, nursery=warm_nursery) as pool, pytest.raises(StoreError) as caught:
        pool.run(ShardJob(config, Store(forbidden), ("privileged", 0, 3)))
    assert "is refused" in str(caught.value) and "\n" not in str(caught.value)

"""moto's S3 server in memory, which counts what it is asked for and what that costs: ``python s3_server.py PORT``.

It speaks HTTP/1.1, as a real store does: a connection for each of a million requests is more than a machine has. The
path ``/-/tally`` answers with the requests since it was last asked, by kind, and the server's CPU seconds since then,
of all and of listings: a page of a listing costs moto a walk over everything in the bucket.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.request import urlopen

TALLY = "/-/tally"


def ask(url: str) -> tuple[Counter[str], float, float]:
    """Requests by kind (``LIST`` is a page of a listing), the server's CPU seconds and those of listings alone."""
    with urlopen(f"{url}{TALLY}", timeout=60) as answer:
        told = json.load(answer)
    return Counter(told["requests"]), float(told["cpu_s"]), float(told["listing_s"])


def counted(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The same WSGI application, its requests counted."""
    seen: Counter[str] = Counter()
    since, listing_s = [time.process_time()], [0.0]

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == TALLY:
            now = time.process_time()
            told = json.dumps({"requests": seen, "cpu_s": now - since[0], "listing_s": listing_s[0]})
            since[0], listing_s[0] = now, 0.0
            seen.clear()
            start_response("200 OK", [("Content-Length", str(len(told)))])
            return [told.encode("ascii")]
        listing = "list-type=2" in environ.get("QUERY_STRING", "")
        seen["LIST" if listing else environ["REQUEST_METHOD"]] += 1
        started = time.thread_time()
        body = list(app(environ, start_response))
        listing_s[0] += (time.thread_time() - started) * listing
        return body

    return answer


def main() -> None:
    """Serve until it is stopped."""
    from moto import server
    from werkzeug.serving import WSGIRequestHandler

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    WSGIRequestHandler.log_request = lambda *_: None  # type: ignore[method-assign]
    plain = server.run_simple
    server.run_simple = lambda host, port, app, **options: plain(host, port, counted(app), **options)
    server.main(["-H", "127.0.0.1", "-p", sys.argv[1]])


if __name__ == "__main__":
    main()

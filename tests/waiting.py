"""Waiting for something to happen, however long a busy machine takes for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import httpx

#: Many times what a loaded machine needs: only what never happens runs into it.
CEILING_S = 600.0

#: Of httpx, whose own patience is 5 s.
get, post, stream = (partial(ask, timeout=CEILING_S) for ask in (httpx.get, httpx.post, httpx.stream))


def until(happened: Callable[[], object], what: str) -> None:
    """Return once ``happened`` is true; an AssertionError that says ``what`` if it never becomes so."""
    end = time.monotonic() + CEILING_S
    while not happened():
        assert time.monotonic() < end, f"not within {CEILING_S:g} s: {what}"
        time.sleep(0.02)

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """SIGINT does what it does to a command that a user typed, also where the tests run in a background shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

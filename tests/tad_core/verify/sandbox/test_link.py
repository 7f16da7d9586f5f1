"""The tests' end of the connection: whose turn it is."""

from __future__ import annotations

import os
import threading

import pytest

from tad_core.verify.sandbox.inside import frames, link
from tad_core.verify.sandbox.inside.link import Link


def test_a_thread_waits_for_its_turn_as_long_as_it_takes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's call may compute for long on a busy machine: that proves nothing against the tests."""
    monkeypatch.setattr(link, "_PATIENCE_S", 0.01)
    (inbox, theirs_out), (theirs_in, outbox) = os.pipe(), os.pipe()
    made = Link(inbox, outbox)
    told: list[int] = []
    waits = threading.Event()
    made.tell_waiting = lambda count: (told.append(count), waits.set())[0]
    found: list[object] = []
    asks = threading.Thread(target=lambda: found.append(made.request("call", 0, "f")))
    try:
        with made._turn:
            asks.start()
            waits.wait()
            assert told == [1]
        assert frames.receive(theirs_in)["name"] == "f"
        frames.send(theirs_out, {"ok": 4})
        asks.join()
    finally:
        for end in (inbox, theirs_out, theirs_in, outbox):
            os.close(end)
    assert found == [4] and told == [1, 0] and not made.uncarried

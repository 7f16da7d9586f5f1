"""A run that another one started, in a process of its own, knows its store as well as the one that checked it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tad_core.artifacts import clocks
from tad_core.config import TADConfig
from tad_core.presence import GoneError, expect_nothing
from tasks.progress import Board
from tasks.work import Work


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clocks, "_AHEAD_S", {})
    expect_nothing()
    yield
    expect_nothing()


def test_it_goes_by_the_clock_of_the_store(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By its own, the run that it helps took its claims for old where that clock was behind."""
    right = time.time
    monkeypatch.setattr(clocks, "time", SimpleNamespace(time=lambda: right() - 1000))
    with caplog.at_level(logging.WARNING), Work(tiny_config, Board([])) as work:
        assert clocks.ahead_s(f"{work.store.root}/.leases") == pytest.approx(1000, abs=3)
    assert "is 1000 s behind the one of the store" in caplog.text


def test_it_makes_no_other_store_in_the_place_of_one_that_is_gone(tiny_config: TADConfig) -> None:
    with Work(tiny_config, Board([])) as work:
        Path(work.store.root).rename(f"{work.store.root}.moved")
        with pytest.raises(GoneError):
            work.store.scratch("distill", "f" * 32)


def test_it_looks_once(tiny_config: TADConfig) -> None:
    """A second part of a run finds a store that is gone as gone."""
    with Work(tiny_config, Board([])) as work:
        Path(work.store.root).rename(f"{work.store.root}.moved")
        with work.of_part(tiny_config, "round 2"), pytest.raises(GoneError):
            work.store.scratch("distill", "f" * 32)

"""From the stages' ``Progress`` reports to what people look at: a terminal, a CI log, Prefect's UI.

A *board* holds one *row* a stage. A row adds up its parts (shards), which report from many threads, and hands
a snapshot to every *sink*, none of them more often than that sink can take.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from tad_core.progress import OnProgress, Progress


@dataclass(frozen=True)
class Snapshot:
    """One stage as it stands. ``rate`` is units per second of what was computed, not found; None if unknown. It is
    ``working`` once a part is worked on, not while all is found in the store, and ``begun`` once a part has reported:
    models are loaded, the work itself goes on."""

    stage: str
    done: int
    total: int
    unit: str
    elapsed_s: float
    rate: float | None
    eta_s: float | None
    figures: dict[str, float | int | str] = field(default_factory=dict)
    found: int = 0
    finished: bool = False
    working: bool = False
    begun: bool = False

    @property
    def percent(self) -> float:
        """Share done, 0 to 100."""
        if not self.total:
            return 100.0 if self.finished else 0.0
        return 100.0 * self.done / self.total

    def details(self) -> str:
        """The figures in one line, ``ETA 2 min, 3.1 samples/s, kept 91 %``; a narrow terminal shows the first."""
        parts = [f"ETA {readable_time(self.eta_s)}"] if self.eta_s is not None and not self.finished else []
        parts += [f"{self.rate:.3g} {self.unit}/s"] if self.rate else []
        parts += [_figure(name, value) for name, value in self.figures.items()]
        parts += [f"{self.found} found in the store"] if self.found else []
        return ", ".join(parts)

    def line(self) -> str:
        """A whole plain line."""
        if self.finished and self.done == self.found:
            return f"{self.stage}: done before, found in the store"
        if not (self.done or self.begun or self.finished):
            return f"{self.stage}: starting" + (f", {self.total} {self.unit}" if self.total else "")
        head = f"{self.stage}: {self.done}/{self.total} {self.unit} ({self.percent:.0f} %)"
        tail = f", {self.details()}" if self.details() else ""
        return f"{head}{tail}" + (f", took {readable_time(self.elapsed_s)}" if self.finished else "")


class Sink(Protocol):
    """Something that shows snapshots; called under the row's lock, so it must be quick."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state of a stage."""


class Watcher(Sink, Protocol):
    """A sink of this process that also takes a line of text."""

    def say(self, message: str) -> None:
        """Show a line between the rows."""


class Row:
    """One stage on the board: adds up its parts and works out rate and time left."""

    def __init__(self, stage: str, total: int, unit: str, sinks: Sequence[Sink]) -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self._sinks = sinks
        self._lock = threading.Lock()
        self._parts: dict[str, Progress] = {}
        self._found: dict[str, int] = {}
        self._extra: dict[str, float | int | str] = {}
        self._started = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._finished = self._working = False

    def listener(self, part: str = "") -> OnProgress:
        """The ``on_progress`` of one part (one shard); safe to call from any thread.

        To ask for it says that the part is worked on: sinks are shown the row from the thread that asks.
        """

        def listen(event: Progress) -> None:
            with self._lock:
                self._parts[part] = event
                if self._first is None:  # before it, models were loaded and processes started
                    self._first = (time.monotonic(), event.done)
                self._show()

        with self._lock:
            if not self._working:  # until now it waited for the stage before it
                self._started = time.monotonic()
            self._working = True
            self._show()
        return listen

    def ended(self, units: int, part: str = "") -> None:
        """A part is there; if it never reported, it did not have to be computed."""
        with self._lock:
            if part not in self._parts:
                self._found[part] = units
            self._show()

    def note(self, **figures: float | int | str) -> None:
        """Further figures that are not part of a report."""
        with self._lock:
            self._extra.update(figures)
            self._show()

    def snapshot(self, finished: bool = False) -> Snapshot:
        """The sum of the parts."""
        fresh, found = sum(p.done for p in self._parts.values()), sum(self._found.values())
        # A stage that is one part knows its own total better than whoever opened the row.
        only = self._parts.get("") if len(self._parts) == 1 else None
        total = max(only.total if only else self.total, fresh + found)
        now = time.monotonic()
        since, before = self._first or (now, 0)
        rate = (fresh - before) / (now - since) if now - since > 1 and fresh > before else None
        left = total - fresh - found
        return Snapshot(
            stage=self.stage,
            done=fresh + found,
            total=total,
            unit=only.unit if only else self.unit,
            elapsed_s=now - self._started,
            rate=rate,
            eta_s=left / rate if rate and left else None,
            figures={**self._figures(), **self._extra},
            found=found,
            finished=finished,
            working=self._working,
            begun=self._first is not None,
        )

    def start(self) -> None:
        """Show the empty row."""
        with self._lock:
            self._show()

    def finish(self) -> None:
        """Show the last state, once."""
        with self._lock:
            if not self._finished:
                self._finished = True
                self._show(finished=True)

    def _figures(self) -> dict[str, float | int | str]:
        """Shares are averaged by their weight, rates are worked out here, of anything else the newest counts; a model
        that the row is named after is not said again."""
        out: dict[str, float | int | str] = {}
        weight: dict[str, int] = {}
        for event in self._parts.values():
            for name, value in event.figures.items():
                if name.endswith("/s") or name == "eta_s" or self.stage.endswith(f" {value}"):
                    continue
                if "%" in name and isinstance(value, (int, float)) and not isinstance(value, bool):
                    before, so_far = float(out.get(name, 0.0)), weight.get(name, 0)
                    share = max(event.done, 1)
                    out[name] = (before * so_far + value * share) / (so_far + share)
                    weight[name] = so_far + share
                else:
                    out[name] = value
        return out

    def _show(self, finished: bool = False) -> None:
        snapshot = self.snapshot(finished)
        for sink in self._sinks:
            sink.show(snapshot)


class Board:
    """All rows of a run and the sinks they are shown on: those given, and whoever watches this process."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self.sinks = [*_WATCHING.get(), *sinks]

    @contextmanager
    def row(self, stage: str, total: int = 0, unit: str = "samples") -> Iterator[Row]:
        """A stage while it runs; its last state is shown only if it ended well."""
        row = Row(stage, total, unit, tuple(self.sinks))
        row.start()
        yield row
        row.finish()


@contextmanager
def watching(sink: Watcher) -> Iterator[None]:
    """Let ``sink`` see every board made inside: how a terminal watches a flow that does not know of it."""
    token = _WATCHING.set((*_WATCHING.get(), sink))
    try:
        yield
    finally:
        _WATCHING.reset(token)


def say(message: str) -> None:
    """A line for whoever watches this process."""
    for sink in _WATCHING.get():
        sink.say(message)


_WATCHING: ContextVar[tuple[Watcher, ...]] = ContextVar("tad_watching", default=())


class PlainSink:
    """Lines for a log file or CI: one when a stage begins to work, the first that knows the time left, one every
    ``every_s`` seconds, and the last."""

    def __init__(self, stream: TextIO | None = None, every_s: float = 10.0) -> None:
        self._stream, self._every_s = stream or sys.stderr, every_s
        self._last: dict[str, float] = {}
        self._timed: set[str] = set()

    def show(self, snapshot: Snapshot) -> None:
        """Print a line if it is time for one."""
        now = time.monotonic()
        if not (snapshot.working or snapshot.finished):
            return
        last = self._last.get(snapshot.stage)
        first_eta = snapshot.eta_s is not None and snapshot.stage not in self._timed
        if snapshot.finished or last is None or first_eta or now - last >= self._every_s:
            self._last[snapshot.stage] = now
            if first_eta:
                self._timed.add(snapshot.stage)
            self.say(snapshot.line())

    def say(self, message: str) -> None:
        """Print it."""
        print(message, file=self._stream, flush=True)


class RichSink:
    """Bars in a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars
        from rich.table import Column

        # On a narrow terminal the figures give way, nothing else.
        self._bars = Bars(
            TextColumn("{task.description}", markup=False, table_column=Column(min_width=16)),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[count]}", table_column=Column(min_width=9, justify="right")),
            TimeElapsedColumn(table_column=Column(min_width=7)),
            TextColumn(
                "{task.fields[details]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=Console(stderr=True, markup=False, emoji=False),
            refresh_per_second=4,
            expand=True,
        )
        self._ids: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Move the stage's bar; rich itself limits how often the screen is drawn."""
        if snapshot.stage not in self._ids:
            self._ids[snapshot.stage] = self._bars.add_task(snapshot.stage, total=None, details="", count="")
        task = self._ids[snapshot.stage]
        before = snapshot.finished and snapshot.done == snapshot.found
        self._bars.update(
            task,
            completed=snapshot.done,
            total=snapshot.total or None,
            count="" if before or not snapshot.total else f"{snapshot.done}/{snapshot.total}",
            details="done before, found in the store" if before else snapshot.details(),
        )
        if snapshot.finished:
            self._bars.stop_task(task)

    def say(self, message: str) -> None:
        """Print it above the bars."""
        self._bars.console.print(message, highlight=False, soft_wrap=True)


def terminal_sink(stream: TextIO | None = None) -> RichSink | PlainSink:
    """Bars where somebody watches, lines where a file or a CI does."""
    stream = stream or sys.stderr
    watched = stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    return RichSink() if watched else PlainSink(stream)


def readable_time(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _figure(name: str, value: float | int | str) -> str:
    """``loss 0.63``, ``kept 91 %``."""
    what = name.removesuffix(" %")
    return f"{what} {_short(value)}" + (" %" if what != name else "")


def _short(value: float | int | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

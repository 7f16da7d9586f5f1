from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from tad_core.progress import Progress
from tasks import progress
from tasks.progress import Board, PlainSink, RichSink, Snapshot, readable_time, terminal_sink


class Recorder:
    def __init__(self) -> None:
        self.seen: list[Snapshot] = []

    def show(self, snapshot: Snapshot) -> None:
        self.seen.append(snapshot)

    def say(self, message: str) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_row_adds_up_its_parts(clock: list[float]) -> None:
    sink = Recorder()
    with Board([sink]).row("collect", 100) as row:
        clock[0] = 130.0  # half a minute of loading is no part of the speed
        row.listener("a")(Progress("collect", 2, 40, figures={"kept %": 100.0, "samples/s": 9.0}))
        clock[0] = 140.0
        row.listener("b")(Progress("collect", 6, 40, figures={"kept %": 50.0}))
        row.listener("a")(Progress("collect", 14, 40, figures={"kept %": 100.0}))
        row.ended(20, "c")
    last = sink.seen[-2]
    assert (last.done, last.total, last.found) == (40, 100, 20)
    assert last.rate == pytest.approx((20 - 2) / 10)
    assert last.eta_s == pytest.approx(60 / 1.8)
    # 14 of a at 100 %, 6 of b at 50 %; the parts' own speeds are not added up
    assert last.figures == {"kept %": pytest.approx(85.0)}
    assert sink.seen[-1].finished and not last.finished


def test_a_part_that_reported_was_not_found(clock: list[float]) -> None:
    sink = Recorder()
    with Board([sink]).row("collect", 10) as row:
        row.listener("a")(Progress("collect", 10, 10))
        row.ended(10, "a")
    assert sink.seen[-1].found == 0 and sink.seen[-1].done == 10


def test_a_single_part_knows_its_own_total(clock: list[float]) -> None:
    sink = Recorder()
    with Board([sink]).row("distill quality") as row:
        assert sink.seen[-1].percent == 0
        row.listener()(Progress("distill quality", 5, 40, "steps"))
    assert (sink.seen[-1].total, sink.seen[-1].unit, sink.seen[-1].percent) == (40, "steps", 12.5)


def test_what_a_row_is_named_after_is_not_said_again(clock: list[float]) -> None:
    sink = Recorder()
    with Board([sink]).row("evaluate base") as row:
        figures: dict[str, float | int | str] = {"model": "base", "decoding": "threshold 0.5", "problems": 3}
        row.listener()(Progress("evaluate", 3, 9, "answers", figures))
    assert sink.seen[-1].figures == {"decoding": "threshold 0.5", "problems": 3}


def test_lines_come_at_intervals_and_at_the_end(clock: list[float]) -> None:
    out = io.StringIO()
    with Board([PlainSink(out, every_s=10)]).row("collect", 100) as row:
        listen = row.listener()
        for i in range(1, 26):
            clock[0] += 1
            listen(Progress("collect", 4 * i, 100))
    lines = out.getvalue().splitlines()
    assert lines[:3] == [
        "collect: starting, 100 samples",
        "collect: 12/100 samples (12 %), ETA 22 s, 4 samples/s",
        "collect: 52/100 samples (52 %), ETA 12 s, 4 samples/s",
    ]
    assert len(lines) == 5 and lines[-1].endswith("took 25 s")


def test_the_first_sample_says_how_long_all_will_take(clock: list[float]) -> None:
    out = io.StringIO()
    with Board([PlainSink(out, every_s=10)]).row("collect", 50) as row:
        listen = row.listener()
        clock[0] = 112.0  # the model is loaded
        listen(Progress("collect", 0, 50))
        clock[0] = 115.0
        listen(Progress("collect", 1, 50))
        lines = out.getvalue().splitlines()
    assert lines == [
        "collect: starting, 50 samples",
        "collect: 0/50 samples (0 %)",
        "collect: 1/50 samples (2 %), ETA 2 min, 0.333 samples/s",
    ]


def test_a_stage_takes_the_time_since_it_is_worked_on(clock: list[float]) -> None:
    out = io.StringIO()
    with Board([PlainSink(out)]).row("filter", 26, "trajectories") as row:
        clock[0] = 125.0  # the collection
        listen = row.listener()
        clock[0] = 128.0
        listen(Progress("filter", 26, 26, "trajectories", {"kept %": 84.6}))
    assert out.getvalue().splitlines()[-1] == "filter: 26/26 trajectories (100 %), kept 84.6 %, took 3 s"


def test_what_was_done_before_says_so(clock: list[float]) -> None:
    out = io.StringIO()
    with Board([PlainSink(out)]).row("calibrate") as row:
        row.ended(1)
    assert out.getvalue() == "calibrate: done before, found in the store\n"


def test_a_stage_that_fails_is_not_shown_as_finished(clock: list[float]) -> None:
    sink = Recorder()
    with pytest.raises(ValueError, match="broken"), Board([sink]).row("collect", 10):
        raise ValueError("broken")
    assert not any(snapshot.finished for snapshot in sink.seen)


def test_reports_from_many_threads_are_all_counted() -> None:
    sink = Recorder()
    with Board([sink]).row("collect", 800) as row:

        def report(part: str) -> None:
            listen = row.listener(part)
            for i in range(101):
                listen(Progress("collect", i, 100))

        threads = [threading.Thread(target=report, args=(str(i),)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sink.seen[-1].done == 800


def test_bars_on_80_columns_show_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    sink = RichSink()
    figures = {"model": "quality", "decoding": "token by token"}
    sink.show(Snapshot("evaluate quality", 712, 1250, "answers", 60.0, 0.919, 585.0, figures))
    console = Console(width=80, file=io.StringIO())
    console.print(sink._bars.get_renderable())
    (line,) = str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]
    assert "evaluate quality" in line and "712/1250" in line and "ETA 10 min" in line and len(line) <= 80


def test_messages_above_the_bars_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    RichSink().say("kept run[red]:x:100:b")
    assert capsys.readouterr().err == "kept run[red]:x:100:b\n"


def test_only_inside_does_a_watcher_see_boards() -> None:
    watcher = Recorder()
    with progress.watching(watcher):
        board = Board()
    assert board.sinks == [watcher] and Board().sinks == []


def test_a_file_gets_lines_and_times_are_readable() -> None:
    assert isinstance(terminal_sink(io.StringIO()), PlainSink)
    assert [readable_time(s) for s in (45, 200, 9000)] == ["45 s", "3 min", "2.5 h"]

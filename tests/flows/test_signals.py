"""A signal that whoever started the command had ignored stays ignored, in the command and in what it starts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.cli import app
from flows.running import INTERRUPTED, guard
from tad_core.errors import SubprocessError
from tests.drills.common import ROOT, environment, tree_of, wait_until, write
from tests.waiting import CEILING_S

SHARDS = 6
ALL = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def started(folder: Path, ignored: tuple[signal.Signals, ...]) -> subprocess.Popen[bytes]:
    def preexec() -> None:
        for number in ALL:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    env = {**environment(folder, "one", 0), "DRILL_HOLD": str(folder / "hold")}
    config = write(tree_of(str(folder / "store"), SHARDS, workers=1), folder)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.drills.run", "collect", config],
            env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            process_group=0, preexec_fn=preexec,
        )  # fmt: skip


def shards(folder: Path) -> int:
    return len(list((folder / "store").glob("collect/*/privileged-*.json")))


@pytest.mark.parametrize(
    ("ignored", "sent", "code"),
    [
        pytest.param((signal.SIGHUP,), (signal.SIGHUP,), 0, marks=pytest.mark.slow),  # nohup
        pytest.param(ALL, ALL, 0, marks=pytest.mark.slow),
        # a background shell; then the terminal is closed
        pytest.param((signal.SIGINT,), (signal.SIGINT, signal.SIGHUP), 130, marks=pytest.mark.slow),
    ],
    ids=["nohup", "all", "background"],
)  # fmt: skip
def test_what_was_ignored_at_the_start_stays_ignored(
    ignored: tuple[signal.Signals, ...], sent: tuple[signal.Signals, ...], code: int, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"  # so that the run is not over before the signals are sent
    hold.write_text("2")
    run = started(tmp_path, ignored)
    try:
        wait_until(lambda: shards(tmp_path) >= 1 or run.poll() is not None, what="the first shard")
        for number in sent:
            assert run.poll() is None, (tmp_path / "log").read_text()[-3000:]
            os.killpg(run.pid, number)
            time.sleep(0.3)
        hold.unlink()
        assert run.wait(timeout=CEILING_S) == code, (tmp_path / "log").read_text()[-3000:]
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    assert (shards(tmp_path) == SHARDS) is (code == 0)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Python's own, as a command finds them; afterwards those of the tests again."""
    before = {number: signal.getsignal(number) for number in ALL}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_no_coroutine_swallows_ctrl_c(handlers: None) -> None:
    async def stubborn() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

    with pytest.raises(typer.Exit) as stopped:
        guard(lambda: asyncio.run(stubborn()), debug=False)
    assert stopped.value.exit_code == INTERRUPTED


def test_what_fails_once_ctrl_c_was_pressed_is_a_stop(
    handlers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:  # as a library does that drops it
            raise SubprocessError("the worker ended with code -2") from None

    with pytest.raises(typer.Exit) as stopped:
        guard(work, debug=False)
    assert stopped.value.exit_code == INTERRUPTED
    assert "stopped; everything finished so far is kept" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--force", "collect"], ["--force=collect"], []])
def test_what_is_forced_is_not_said_to_go_on(
    handlers: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tad", "run", "x.yaml", *option])

    def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit):
        guard(work, debug=False)
    assert ("the same command, which begins anew what it forces:" in capsys.readouterr().err) == bool(option)


def test_nothing_is_said_to_be_kept_where_nothing_is(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tad_core.evaluation.lm_eval_cli.main", stopped)
    for arguments, told in (
        (["--tasks", "t"], "stopped; nothing of it is kept"),
        (["--tasks", "t", "--use_cache=answers"], "stopped; everything finished so far is kept"),
    ):
        result = CliRunner().invoke(app, ["lm-eval", *arguments])
        assert result.exit_code == INTERRUPTED and told in result.output

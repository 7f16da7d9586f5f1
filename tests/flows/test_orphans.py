"""A run whose worker is killed: it hears of it at once, and does not end of a line that it prints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.orphans import look_after_itself
from tests.waiting import CEILING_S, until

pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(sys.platform != "linux", reason="Linux only")]
ROOT = Path(__file__).resolve().parents[2]
WORKER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], stdout=sys.stdout)"
RUN = """
import sys, threading, time
from pathlib import Path
from flows.orphans import WorkerGoneError, look_after_itself
folder = Path(sys.argv[1])
try:
    look_after_itself()
    (folder / "begun").touch()
    time.sleep(100)
except WorkerGoneError as error:
    print("x" * 100_000, flush=True)
    (folder / "told").write_text(str(error))
"""


def test_the_run_ends_with_the_reason(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT__FLOW_RUN_ID": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, RUN, str(tmp_path)], env=env, stdout=subprocess.PIPE
    ) as worker:
        until((tmp_path / "begun").exists, "the run's begin")
        worker.kill()
        worker.wait(CEILING_S)
    told = tmp_path / "told"
    until(lambda: told.exists() and told.read_text(), "the run's end")
    assert "the worker that started this run has ended" in told.read_text()


def test_a_run_that_no_worker_started_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    before = signal.getsignal(signal.SIGRTMIN)
    look_after_itself()
    assert signal.getsignal(signal.SIGRTMIN) is before

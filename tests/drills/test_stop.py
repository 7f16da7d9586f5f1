"""Stopped by a signal to the process group, which is what Ctrl-C and Cancel send: nothing runs on, nothing is half."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.drills.common import (
    alive,
    content,
    environment,
    family,
    leftovers,
    start,
    tree_of,
    wait_until,
    write,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PROGRAM = "```python\nimport time\ntime.sleep(100)\n```"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stopped_while_programs_run_in_the_sandbox(number: signal.Signals, tmp_path: Path) -> None:
    """Collection is done or nearly so, programs that sleep are being judged; then a stop."""
    tree = tree_of(str(tmp_path / "store"), 4, workers=2)
    tree["data"] = [{"name": "funcs", "source": "pyfunc", "count": 4}]
    env = environment(tmp_path, "one", 0.1, DRILL_PROGRAM=PROGRAM)
    run = start("tests.drills.run", ["filter", write(tree, tmp_path)], env, tmp_path / "log")
    seen: set[psutil.Process] = set()

    def judging() -> bool:
        seen.update(family(run.pid))
        return run.poll() is not None or any("verify" in " ".join(_command(p)) for p in seen)

    try:
        wait_until(judging, 600, "the sandbox")
        time.sleep(2)
        seen.update(family(run.pid))
        assert run.poll() is None, (tmp_path / "log").read_text()[-3000:]
        os.killpg(run.pid, number)
        asked = time.monotonic()
        assert run.wait(timeout=300) == 130, (tmp_path / "log").read_text()[-3000:]
        wait_until(lambda: not any(map(alive, seen)), 60, "the end of every process")
        took = time.monotonic() - asked
        print(f"stopped in {took:.1f} s, {len(seen)} processes")
        assert took < 30 or os.getloadavg()[0] > os.cpu_count(), "30 s on a machine that is not busy"
    finally:
        for process in seen:
            if alive(process):
                process.kill()
    assert leftovers(tmp_path / "store") == []
    assert not list((tmp_path / "store").glob("filter/*/manifest.json"))
    assert len(content(str(tmp_path / "store"))) <= 4


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []

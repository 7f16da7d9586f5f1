"""The benchmark of the server on its smallest size: all three servers, and that two say the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", "random"])
def test_every_server_is_measured_and_the_plain_one_says_what_ours_says(size: str) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "serve.py"),
        "--size",
        size,
        "--clients",
        "1",
        "2",
        "--requests",
        "4",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    assert len(rows) == 6 and all(float(row[2]) > 0 and float(row[7]) > 1 for row in rows)
    assert "4 of 4 exact answers are the plain server's" in done.stdout

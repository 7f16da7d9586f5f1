"""The scaling script on processes of a CPU: every stage, and one process killed in collection and evaluation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stages_make_the_same_on_any_number_of_processes(tmp_path: Path) -> None:
    command = [
        sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--gpus", "1,3", "--size", "tiny",
        "--work", str(tmp_path), "--samples", "48", "--shards", "12", "--response", "16", "--steps", "4",
        "--global-batch", "6", "--kill",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    table = {line.split(" | ")[0][2:]: line for line in done.stdout.splitlines() if line.startswith("| ")}
    assert list(table) == ["stage", "collect", "evaluate", "distil two", "distil one", "distil zero2"]
    assert all(line.endswith("| yes |") for stage, line in table.items() if stage != "stage")
    killed = [line for line in done.stdout.splitlines() if "processes: killed" in line]
    assert len(killed) == 2
    assert all("; 0 of them made again; the same as undisturbed" in line for line in killed)

"""The full-size script on its smallest size: every step, the kill and the resume, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", ["llada", "dream"])
def test_every_step_runs_and_is_measured(family: str, tmp_path: Path) -> None:
    command = [
        sys.executable, str(ROOT / "benchmarks" / "full_size.py"), "--family", family, "--size", "tiny",
        "--work", str(tmp_path), "--trajectories", "4", "--steps", "4", "--global-batch", "4", "--micro-batch", "2",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    steps = json.loads(done.stdout)["steps"]
    assert list(steps) == ["write", "load", "collect", "distil", "export", "decode"]
    assert all(step["wall_s"] > 0 and step["host_peak_mib"] > 0 for step in steps.values())
    assert steps["load"]["finite"] and steps["write"]["shards"] > 1
    assert steps["collect"]["trajectories"] == 4
    assert (steps["distil"]["killed_at"], steps["distil"]["steps"]) == (3, 4)
    assert steps["distil"]["resumed"].startswith("resuming from step 2")
    assert steps["decode"]["logits_largest_difference"] < 1e-5
    again = subprocess.run(command, capture_output=True, text=True, check=True)  # nothing is left to do
    assert "write …" not in again.stderr and json.loads(again.stdout)["steps"] == steps

"""The benchmark of decoding on its smallest size: every measurement runs, and company changes no sample."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_measurement_gives_figures() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "decode.py"), "--size", "small"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    names = set(re.findall(r"^(\w+) +took", done.stdout, flags=re.M))
    assert names == {"rollout", "decode1", "decode32", "answers", "noise", "lengths", "many", "exactness"}
    same = re.findall(r"equal to the bit +(\d+)/(\d+)", done.stdout)
    assert len(same) == 12 and all(found == of for found, of in same)

"""What must not depend on its batch does not under other vector instructions either, nor does what is stored of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
BEST = torch.backends.cpu.get_cpu_capability().lower()
#: A lower level runs on every machine that has a higher one; the best is what the rest of the suite runs under.
LEVELS = ("default", "avx2", "avx512")
LOWER = LEVELS[: LEVELS.index(BEST)] if BEST in LEVELS else ()


def marked() -> list[str]:
    """The files with such tests: to collect all the others takes longer than to run these."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file) for file in files if "@pytest.mark.determinism" in file.read_text(encoding="utf-8")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "level", [*(pytest.param(level, marks=pytest.mark.slow) for level in LOWER[:-1]), *LOWER[-1:]]
)
def test_determinism_under(level: str) -> None:
    chosen = ["-m", "determinism and not gpu and not slow", *marked()]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen],
        cwd=ROOT, capture_output=True, text=True, timeout=800,
        env={**os.environ, "ATEN_CPU_CAPABILITY": level, "PYTEST_ADDOPTS": ""},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout

"""The script of a growing store: every phase runs, and a shard of many costs a bucket no more than one of few."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIZES = (20, 60)
#: requests a shard of a host that has never seen the store, and of one that has
EXPECTED = {
    ("close", "first"): {"GET": 2},
    ("close", "again"): {"GET": 1},
    ("find", "first"): {"GET": 1},
    ("find", "again"): {},
    ("read", "first"): {"GET": 2},
    ("read", "again"): {},
    ("status", "first"): {"GET": 1},
    ("status", "again"): {},
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_every_phase_asks_for_as_much_of_a_shard_however_many_there_are(where: str) -> None:
    if where == "bucket":
        pytest.importorskip("moto")
        pytest.importorskip("s3fs")
    command = [sys.executable, str(ROOT / "benchmarks" / "store.py"), "--where", where, "--shards"]
    done = subprocess.run([*command, *map(str, SIZES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(f"| {where} | ")]
    phases = len(EXPECTED) + 1  # the making of it is told, too
    assert len(rows) == phases * (2 if where == "bucket" else 1)
    if where == "folder":
        return
    for _, phase, use, *cells in rows[phases:]:
        if phase == "make":
            continue
        few, many = (
            {k: int(n.replace(",", "")) for n, k in re.findall(r"([\d,]+) ([A-Z]+)", c)} for c in cells[:2]
        )
        more = {
            kind: (many[kind] - few.get(kind, 0)) / (SIZES[1] - SIZES[0]) for kind in many if kind != "LIST"
        }
        assert {kind: n for kind, n in more.items() if n} == EXPECTED[phase, use], (phase, use)
        assert many["LIST"] <= 12  # pages of a listing, a thousand names each

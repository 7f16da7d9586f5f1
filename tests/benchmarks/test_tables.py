"""A training table costs a process a few numbers a trajectory, and the rows that it reads; the rest is mapped."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARDS = (1, 13)
LENGTH = 64

CHILD = """
import sys
sys.path[:0] = sys.argv[1:3]
import tables

for count in map(int, sys.argv[4:]):
    table, plan = tables.opened([sys.argv[3]] * count, {length}, 4)
    for step in range(1, 60):
        tables.draw(table, plan, step)
    print(len(table), sum(a.nbytes for a in (table.response_RL, table.revealed_at_RL, table.student.ids_N,
          table.teacher.ids_N)), *(int(mb * 2**20) for mb in tables.memory_mb()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory is a process's own")
@pytest.mark.slow
def test_memory_of_its_own_does_not_grow_with_what_lies_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tables

    shard = tmp_path / "shard.parquet"
    tables.make(shard, LENGTH, 100_000)
    for count in SHARDS:  # here, so that the child has only to map them
        tables.opened([str(shard)] * count, LENGTH, 4)
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(CHILD.format(length=LENGTH)),
        str(ROOT),
        str(ROOT / "benchmarks"),
    ]
    done = subprocess.run(
        [*command, str(shard), *map(str, (SHARDS[0], *SHARDS))],  # once to warm up
        capture_output=True, text=True, check=True, env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    _, (few, few_bytes, few_own, _), (many, many_bytes, many_own, _) = (
        tuple(map(int, line.split())) for line in done.stdout.splitlines()
    )
    more, own = many - few, many_own - few_own
    assert many_bytes - few_bytes > 2000 * more, "what a trajectory has on the disk"
    assert own < 200 * more, f"{own / more:.0f} bytes of its own a trajectory"

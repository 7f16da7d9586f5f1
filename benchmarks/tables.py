"""Seconds and memory of a training table: made, used again, its states drawn.

One made-up shard is read as often as it takes to give so many trajectories, so that the disk holds only the table.
Every line is a process of its own. Markdown on stdout, for docs/results/store.md. Memory is what comes on top of the
imports; "own" (RssAnon of Linux) is not shared with other processes and cannot be dropped by the system.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from tad_core.training.dataset import StatePlan, TrainingTable

_SHARD = 5000
_BATCH = 64


def main() -> None:
    """Make the shard, run every use, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trajectories", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--states", type=int, default=256, help="states per trajectory and epoch")
    parser.add_argument("--steps", type=int, default=2000, help="of 64 states each")
    parser.add_argument(
        "--long",
        type=int,
        default=100_000,
        help="tokens of the prompts, one a shard, that are longer than all",
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        use(options.child, options)
        return
    print(
        f"`python benchmarks/tables.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}, responses of {options.length} tokens, {options.states} states each, one prompt in "
        f"{_SHARD:,} of {options.long:,} tokens\n"
    )
    print(
        "| trajectories | use | table: wall, CPU s | first step: wall, CPU s | a step, ms | training, MB | of these "
        "own | peak, MB | on disk, MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="tad-tables-") as name:
        folder = Path(name)
        os.environ["TAD_CACHE"] = str(folder / "cache")
        make(folder / "shard.parquet", options.length, options.long)
        for count in options.trajectories:
            for what in ("first", "second", "third"):
                command = [sys.executable, __file__, "--child", str(folder / "shard.parquet")]
                for option in ("length", "states", "steps"):
                    command += [f"--{option}", str(getattr(options, option))]
                command += ["--trajectories", str(count)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                disk_mb = sum(f.stat().st_size for f in folder.rglob("flat/*/*")) / 2**20
                print(f"| {count:,} | {what} | {done.stdout.splitlines()[-1]} | {disk_mb:.0f} |", flush=True)
            shutil.rmtree(folder / "cache")  # of this size alone


def use(shard: Path, options: argparse.Namespace) -> None:
    """What a rank does before and in training, without the model."""
    import tad_core.training.dataset  # noqa: F401  (imports are none of it)

    before, clock = memory_mb(), Clock()
    table, plan = opened([str(shard)] * -(-options.trajectories[0] // _SHARD), options.length, options.states)
    table_s = clock.read()
    plan.draw_S[:_BATCH]
    first_s = clock.read()
    peak = [0.0, 0.0]
    for step in range(1, options.steps + 1):
        draw(table, plan, step)
        if step % 5 == 0:
            peak = [max(pair) for pair in zip(peak, memory_mb(), strict=True)]
    step_ms = 1000 * clock.read()[0] / options.steps
    own, mapped = (after - base for after, base in zip(peak, before, strict=True))
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - sum(before)
    cells = [f"{wall_s:.1f}, {cpu_s:.1f}" for wall_s, cpu_s in (table_s, first_s)]
    print(" | ".join([*cells, f"{step_ms:.1f}", *(f"{mb:.0f}" for mb in (own + mapped, own, whole))]))


class Clock:
    """Wall and CPU seconds since it was last read."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Both; from here on it counts anew."""
        wall, cpu = self._wall, self._cpu
        self._wall, self._cpu = time.monotonic(), time.process_time()
        return self._wall - wall, self._cpu - cpu


def opened(shards: list[str], length: int, states: int) -> tuple[TrainingTable, StatePlan]:
    """The table of a training on these shards and its states, as a rank opens them."""
    from tad_core.config import DistillConfig
    from tad_core.objectives import make_objective
    from tad_core.training.dataset import StatePlan, load_kept
    from tad_core.training.spec import order_for

    table = load_kept(shards, [], length)
    config = DistillConfig(global_batch_size=_BATCH, micro_batch_size=_BATCH, states_per_trajectory=states)
    return table, StatePlan(table, make_objective(config, 8), config, order_for(len(table) * states))


def draw(table: TrainingTable, plan: StatePlan, step: int) -> None:
    """What is read of the table for one step."""
    here = slice(step * _BATCH, (step + 1) * _BATCH)
    row_B = plan.row_S[here]
    plan.draw_S[here], table.response_RL[row_B], table.revealed_at_RL[row_B]
    table.student.padded(row_B), table.teacher.padded(row_B)


def memory_mb() -> tuple[float, float]:
    """Resident memory of this process, its own and that of mapped files."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))


def make(path: Path, length: int, longest: int) -> None:
    """A shard whose prompts differ in length; one is longer than all others."""
    import numpy as np

    from tad_core.trajectory.schema import Trajectory
    from tad_core.trajectory.shards import write_trajectories

    rng = np.random.default_rng(0)

    def ids(count: int) -> list[int]:
        return rng.integers(0, 126_000, size=count).tolist()

    rows = [
        Trajectory(f"made-up/{i}", "made-up", "math", 0, "privileged", ids(rng.integers(60, 240)),
                   ids(longest if i == 0 else rng.integers(200, 600)), ids(length),
                   (rng.permutation(length) + 1).tolist(), [0.5] * length,
                   int(rng.integers(length // 4, length + 2)), "exact", "")
        for i in range(_SHARD)
    ]  # fmt: skip
    write_trajectories(path, rows)


if __name__ == "__main__":
    main()

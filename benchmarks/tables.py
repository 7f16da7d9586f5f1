"""Seconds and memory of a training table: made, used again, its states drawn.

One made-up shard is read as often as it takes to give so many trajectories, so that the disk holds only the table.
Every line is a process of its own. Markdown on stdout, for docs/results/store.md. Memory is what comes on top of the
imports; "own" is not shared with other processes and cannot be dropped by the system.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

_SHARD = 4096


def main() -> None:
    """Make the shard, run every use, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trajectories", type=int, nargs="+", default=[62_500, 250_000, 1_000_000])
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--states", type=int, default=256, help="states per trajectory and epoch")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--long", type=int, default=100_000, help="tokens of one prompt that is longer than all"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        use(options.child, options)
        return
    print(
        f"`python benchmarks/tables.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, responses of "
        f"{options.length} tokens, {options.states} states each, one prompt of {options.long:,} tokens\n"
    )
    print(
        "| trajectories | use | table, s | first step, s | a step, ms | training, MB | of these own | peak, MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
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
                print(f"| {count:,} | {what} | {' | '.join(done.stdout.split()[-6:])} |", flush=True)


def use(shard: Path, options: argparse.Namespace) -> None:
    """What a rank does before and in training, without the model."""
    from tad_core.config import DistillConfig
    from tad_core.objectives import make_objective
    from tad_core.training.dataset import StatePlan, load_kept

    before = memory_mb()
    started = time.monotonic()
    table = load_kept([str(shard)] * -(-options.trajectories[0] // _SHARD), [], options.length)
    config = DistillConfig(global_batch_size=64, micro_batch_size=64, states_per_trajectory=options.states)
    plan = StatePlan(table, make_objective(config, 8), config)
    ready = time.monotonic()
    plan.draw_S[:64]
    first = time.monotonic()
    peak = [0.0, 0.0]
    for step in range(1, options.steps + 1):
        row_B = plan.row_S[step * 64 : (step + 1) * 64]
        plan.draw_S[step * 64 : (step + 1) * 64], table.response_RL[row_B], table.revealed_at_RL[row_B]
        table.student.padded(row_B), table.teacher.padded(row_B)
        if step % 5 == 0:
            peak = [max(pair) for pair in zip(peak, memory_mb(), strict=True)]
    step_ms = 1000 * (time.monotonic() - first) / options.steps
    own, mapped = (after - base for after, base in zip(peak, before, strict=True))
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - sum(before)
    print(f"{ready - started:.1f} {first - ready:.1f} {step_ms:.1f} {own + mapped:.0f} {own:.0f} {whole:.0f}")


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
                   (rng.permutation(length) + 1).tolist(), [0.5] * length, length + 1, "exact", "")
        for i in range(_SHARD)
    ]  # fmt: skip
    write_trajectories(path, rows)


if __name__ == "__main__":
    main()

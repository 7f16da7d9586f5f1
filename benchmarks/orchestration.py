"""What Prefect costs around a shard, and how large server and flow process grow.

Shards are made up and take no time, so that what is left is the price of the orchestration: a task run, its states,
records and progress, the claim on the shard, its files with their checksums. The same shards by the library alone are
the comparison. Then the run is killed half way, resumed, and repeated; memory is read twice a second. Markdown on
stdout, for docs/results/orchestration.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SHARD_S = 60.0


@dataclass
class Phase:
    """One process that was watched; memory in MB, of the process with all its children."""

    name: str
    wall_s: float
    computed: int
    flow_mb: float
    server_mb: float


def main() -> None:
    """Run every phase, print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--child", choices=["flow", "library"], help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.config)
        return
    with (
        tempfile.TemporaryDirectory(prefix="tad-orchestration-") as name,
        server(Path(name)) as (url, process),
    ):
        folder = Path(name)
        phases = list(measure(folder, options.shards, url, process))
        print(page(options.shards, phases))


def measure(folder: Path, shards: int, url: str, process: psutil.Process) -> Iterator[Phase]:
    """The phases in order, on a store that is empty at first."""
    env = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    store = folder / "flow"
    config = write(folder / "flow.yaml", store, shards)
    yield watch("killed half way", "flow", config, env, store, process, kill_at=shards // 2)
    yield watch("resumed", "flow", config, env, store, process)
    (manifest,) = store.glob("collect/*/manifest.json")
    manifest.unlink()
    yield watch("again, shard by shard", "flow", config, env, store, process)
    yield watch("again", "flow", config, env, store, process)
    alone = folder / "library"
    config = write(folder / "library.yaml", alone, shards)
    yield watch("library alone", "library", config, env, alone, process)


def watch(
    name: str,
    what: str,
    config: Path,
    env: dict[str, str],
    store: Path,
    server: psutil.Process,
    kill_at: int | None = None,
) -> Phase:
    """One child process to its end, or killed once so many shards are there."""
    before, started = count(store), time.monotonic()
    command = [sys.executable, str(Path(__file__)), "--child", what, "--config", str(config)]
    run = psutil.Popen(command, env=env, stdout=sys.stderr)
    peak = {"flow": 0.0, "server": 0.0}
    first = time.monotonic()
    while run.poll() is None:
        peak["flow"] = max(peak["flow"], memory_mb(run))
        peak["server"] = max(peak["server"], memory_mb(server))
        done = count(store)
        if done <= before:
            first = time.monotonic()
        if kill_at is not None and done >= kill_at:
            run.kill()
        time.sleep(0.5)
    if run.returncode and kill_at is None:
        raise SystemExit(f"{name}: exit code {run.returncode}")
    print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    computed = count(store) - before
    return Phase(
        name, time.monotonic() - (first if computed else started), computed, peak["flow"], peak["server"]
    )


def child(what: str, file: Path) -> None:
    """The process that is watched: workers are replaced by a function that makes up a shard at once."""
    from tad_core.artifacts import ArtifactRef, Store
    from tad_core.config import parse_config
    from tad_core.stages import collect as stage
    from tad_core.stages.pipeline import plan_of
    from tad_core.workers.jobs import ShardJob
    from tad_core.workers.pool import Pool
    from tests.drills import fake_worker

    os.environ["DRILL_SHARD_S"] = "0"
    fake_worker.without_model()
    config = parse_config(yaml.safe_load(file.read_text()))
    store = Store(config.store)

    def run(self: Pool, job: ShardJob, on_progress: Any) -> ArtifactRef:
        shard = stage.ShardSpec(0, *job.piece)
        return stage.collect_shard(
            config, plan_of(config), shard, store, on_progress, job.force, (None, None)
        )

    Pool.run = run  # type: ignore[assignment,method-assign]
    if what == "library":
        stage.collect(config, store)
        return
    from flows.environment import settle

    settle()
    from flows.pipeline import collect_flow

    collect_flow(config)


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A Prefect server on SQLite."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PREFECT_HOME": str(folder / "server"), "PREFECT_SERVER_API_PORT": str(port)}
    env["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = psutil.Popen(command, env=env, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/api"
        for _ in range(9000):
            try:
                with urlopen(f"{url}/health", timeout=1):
                    break
            except (URLError, OSError):
                time.sleep(0.1)
        yield url, process
    finally:
        process.terminate()
        process.wait()


def write(file: Path, store: Path, shards: int) -> Path:
    """A configuration with one problem a shard."""
    from tests.drills.common import tree_of

    file.write_text(yaml.safe_dump(tree_of(str(store), shards, workers=1)))
    return file


def count(store: Path) -> int:
    """Shards that are there."""
    return sum(1 for _ in store.glob("collect/*/privileged-*.json"))


def memory_mb(process: psutil.Process) -> float:
    """Resident memory of a process and its children."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def page(shards: int, phases: list[Phase]) -> str:
    """The results as markdown."""
    by_name = {phase.name: phase for phase in phases}
    each = [p for p in phases if p.computed and p.name != "library alone"]
    flow_ms = 1000 * sum(p.wall_s for p in each) / sum(p.computed for p in each)
    alone = by_name["library alone"]
    alone_ms = 1000 * alone.wall_s / alone.computed
    extra_ms = flow_ms - alone_ms
    rows = [
        f"| {p.name} | {p.computed} | {p.wall_s:.0f} | {p.flow_mb:.0f} | {p.server_mb:.0f} |" for p in phases
    ]
    return "\n".join(
        [
            "# What the orchestration costs",
            "",
            f"`python benchmarks/orchestration.py --shards {shards}`, {time.strftime('%Y-%m-%d')}, "
            f"{os.cpu_count()} cores ({platform.machine()}, load {os.getloadavg()[1]:.1f} from other work beside it), "
            f"Prefect {version('prefect')} with its server on SQLite. The shards are made up and take no time.",
            "",
            f"Around a shard Prefect takes {extra_ms:.0f} ms: {flow_ms:.0f} ms a shard in the flow, {alone_ms:.0f} ms "
            f"by the library alone. That is {100 * extra_ms / (1000 * SHARD_S):.2f} % of a shard of {SHARD_S:.0f} s.",
            "",
            "| run | shards computed | s | flow process, peak MB | server, peak MB |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "Seconds are from the first shard to the end; where nothing is computed, from the start of the process.",
        ]
    )


def version(name: str) -> str:
    """Of an installed package."""
    from importlib import metadata

    return metadata.version(name)


if __name__ == "__main__":
    main()

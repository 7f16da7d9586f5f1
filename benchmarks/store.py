"""Seconds and memory of a store that grows: a collection of 1, 4 and 16 thousand shards, in a folder or a bucket.

The shards are made up, one tiny table each, so that what is left is the store's own: manifests, listings, checksums,
claims. Every phase is a process of its own, of which wall and CPU seconds and peak memory are told. A bucket is moto's
server on this machine, which holds all in memory and serves one request at a time: its part of the wall seconds is told
as its CPU seconds, beside the requests that it counted. Markdown on stdout, for docs/results/store.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import s3_server  # noqa: E402

if TYPE_CHECKING:
    from tad_core.artifacts import ArtifactRef, Store
    from tad_core.config import TADConfig
    from tad_core.stages.collect import CollectionPlan

#: what each process does, in this order on one store
PHASES = {
    "close": "go on with a killed collection whose shards are all there: each is found, the manifest written",
    "find": "find the collection",
    "read": "find it and open the table of every shard",
    "status": "say of each shard whether it is done",
}
_ROWS = 2


@dataclass(frozen=True)
class Measured:
    """One phase in a process of its own.

    Attributes:
        wall_s: imports left out.
        cpu_s: user and system, of the same span; what else the machine does hardly shows in it.
        peak_mb: resident, of the whole process.
        load: of the machine at the end, over a minute.
        requests: by kind; of a bucket.
        server_s: CPU of the bucket's server.
        listing_s: of this for listings.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    load: float
    requests: Counter[str] = field(default_factory=Counter)
    server_s: float = 0.0
    listing_s: float = 0.0


#: where, phase, use -> shards -> what was measured
Found = dict[tuple[str, str, str], dict[int, Measured]]


def main() -> None:
    """Run every phase for every size, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--where", nargs="+", choices=["folder", "bucket"], default=["folder", "bucket"])
    parser.add_argument("--phases", nargs="+", choices=list(PHASES), default=list(PHASES))
    parser.add_argument("--child", nargs=2, metavar=("PHASE", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        phase, root = options.child
        run_phase(phase, root, options.shards[0])
        return
    found: Found = {}
    for where in options.where:
        for shards in options.shards:
            measure(where, shards, options.phases, found)
    loads = [one.load for sizes in found.values() for one in sizes.values()]
    print(
        f"`python benchmarks/store.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores "
        f"({platform.machine()}), load {min(loads):.1f} to {max(loads):.1f}\n"
    )
    table(found, options.shards, "wall s, CPU s, peak MB", "CPU a shard", seconds, lambda one: one.cpu_s)
    asked = {key: sizes for key, sizes in found.items() if key[0] == "bucket"}
    if asked:
        print()
        table(
            asked,
            options.shards,
            "requests; server's CPU s, of listings",
            "requests a shard",
            requests,
            total,
        )


def measure(where: str, shards: int, phases: list[str], found: Found) -> None:
    """All phases on a fresh store of one size: first on a host that has never seen it, then again in a new process."""
    with (
        tempfile.TemporaryDirectory(prefix="tad-store-") as name,
        bucket(Path(name)) if where == "bucket" else nullcontext(f"{name}/store") as root,
    ):
        for phase in ("make", *phases):
            os.environ["TAD_CACHE"] = f"{name}/{phase}"
            for use in ("once",) if phase == "make" else ("first", "again"):
                one = child(phase, root, shards)
                found.setdefault((where, phase, use), {})[shards] = one
                print(where, shards, phase, use, seconds(one), requests(one), file=sys.stderr, flush=True)
            if phase == "make":
                time.sleep(3)  # what was written this moment is not taken as settled


def child(phase: str, root: str, shards: int) -> Measured:
    """One phase in a process of its own."""
    server = os.environ["AWS_ENDPOINT_URL"] if "://" in root else ""
    if server:
        s3_server.ask(server)
    command = [sys.executable, str(Path(__file__)), "--shards", str(shards), "--child", phase, root]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    wall_s, cpu_s, peak_mb = map(float, done.stdout.split()[-3:])
    asked = s3_server.ask(server) if server else (Counter[str](), 0.0, 0.0)
    return Measured(wall_s, cpu_s, peak_mb, os.getloadavg()[0], *asked)


def run_phase(phase: str, root: str, shards: int) -> None:
    """What a child does."""
    from tad_core.artifacts import Store

    config, plan = setting(root, shards)
    store = Store(root)
    store.manifests("collect", "none")  # libraries of the store are loaded
    work: dict[str, Callable[[TADConfig, CollectionPlan, Store], object]] = {
        "make": make,
        "close": close,
        "find": find,
        "read": read,
        "status": status,
    }
    started, cpu = time.monotonic(), time.process_time()
    work[phase](config, plan, store)
    wall_s, cpu_s = time.monotonic() - started, time.process_time() - cpu
    print(wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


# --- tables -----------------------------------------------------------------------------------------


def table(
    found: Found,
    sizes: Sequence[int],
    title: str,
    growing: str,
    cell: Callable[[Measured], str],
    figure: Callable[[Measured], float],
) -> None:
    """A row a phase and use, a column a size; last how many times a figure a shard is the smallest size's."""
    heads = [f"{n:,}: {title}" for n in sizes]
    print("| store | phase | use | " + " | ".join(heads) + f" | {growing}, last / first |")
    print("|---|---|---|" + "---|" * (len(heads) + 1))
    for (where, phase, use), by_size in found.items():
        first, last = by_size[sizes[0]], by_size[sizes[-1]]
        times = (figure(last) / sizes[-1]) / max(1e-9, figure(first) / sizes[0])
        cells = " | ".join(cell(by_size[n]) for n in sizes)
        print(f"| {where} | {phase} | {use} | {cells} | {times:.2f} |")


def seconds(one: Measured) -> str:
    """Of one cell."""
    return f"{one.wall_s:.2f}, {one.cpu_s:.2f}, {one.peak_mb:.0f}"


def requests(one: Measured) -> str:
    """Of one cell."""
    asked = ", ".join(f"{n:,} {kind}" for kind, n in sorted(one.requests.items()))
    return f"{asked}; {one.server_s:.1f}, {one.listing_s:.1f}"


def total(one: Measured) -> float:
    """Requests of every kind."""
    return float(one.requests.total())


# --- phases -----------------------------------------------------------------------------------------


def close(config: TADConfig, plan: CollectionPlan, store: Store) -> None:
    """As ``collect`` does it, without a shard to decode."""
    from tad_core.stages import collect as stage
    from tad_core.stages.sharing import Shares

    store.discard("collect", plan.fingerprint)
    with Shares(plan, store, 600) as shares:
        assert list(shares.todo()) == []
        refs = [shares.refs[shard.name] for shard in plan.shards]
    stage.finish_collection(config, plan, refs, store)


def find(config: TADConfig, plan: CollectionPlan, store: Store) -> ArtifactRef:
    """As every later stage begins."""
    from tad_core.stages.collect import find_collection

    ref = find_collection(plan, store)
    assert ref is not None
    return ref


def read(config: TADConfig, plan: CollectionPlan, store: Store) -> None:
    """As the filter, the calibration and the training do."""
    ref = find(config, plan, store)
    for shard in ref.manifest.info["shards"]:
        assert ref.local(f"{shard['name']}.parquet").exists()


def status(config: TADConfig, plan: CollectionPlan, store: Store) -> None:
    """As ``tad status`` does it for a collection."""
    from tad_core.stages.status import Look

    find(config, plan, store)
    look = Look(store)
    look.pieces("collect", plan.fingerprint, [shard.name for shard in plan.shards], whole=True)
    assert {entry.state for entry in look.seen} == {"done"}


# --- what is measured on ----------------------------------------------------------------------------


def setting(root: str, shards: int) -> tuple[TADConfig, CollectionPlan]:
    """A configuration, and a plan with one problem a shard."""
    from tad_core.config import parse_config
    from tad_core.data.problem import Problem
    from tad_core.stages.collect import CollectionPlan, ShardSpec
    from tests.drills.common import tree_of

    config = parse_config(tree_of(root, 1, workers=1))
    problems = [Problem(f"made-up/{i}", "made-up", "math", "1 + 1", "1 + 1 = 2", "2") for i in range(shards)]
    specs = [ShardSpec(i, "privileged", i, i + 1) for i in range(shards)]
    return config, CollectionPlan("f" * 32, problems, [], specs, {p.id: p for p in problems})


def make(config: TADConfig, plan: CollectionPlan, store: Store) -> None:
    """The shards of a collection that is not closed."""
    from tad_core.stages.collect import STAGE, STAGE_VERSION
    from tad_core.trajectory.schema import Trajectory
    from tad_core.trajectory.shards import write_trajectories

    resolved = config.model_dump(mode="json")

    def one(index: int) -> None:
        shard = plan.shards[index]
        ids = list(range(64))
        rows = [
            Trajectory(f"made-up/{index}", "made-up", "math", sample, "privileged", ids[:20], ids[:40], ids,
                       [i + 1 for i in ids], [0.5] * 64, 65, "exact", "2")
            for sample in range(_ROWS)
        ]  # fmt: skip
        with store.writer(
            STAGE, STAGE_VERSION, plan.fingerprint, resolved, manifest_name=f"{shard.name}.json"
        ) as out:
            write_trajectories(out.path(f"{shard.name}.parquet", rows=len(rows), by_content=True), rows)
            out.commit({"condition": "privileged", "compared": 0, "decode_s": 0.1})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(len(plan.shards))))


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """A fresh bucket of a server of its own."""
    import fsspec

    from tests.services.run import free_port, started

    port = free_port()
    command = [sys.executable, s3_server.__file__, str(port)]
    with started(command, folder / "s3.log", port, signal.SIGTERM):
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("tad")
        yield "s3://tad/store"


if __name__ == "__main__":
    main()

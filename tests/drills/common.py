"""What the drills share: a configuration whose shards cost nothing, hosts as processes, and what is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.records import with_records

ROOT = Path(__file__).resolve().parents[2]
Tree = dict[str, Any]


def tree_of(store: str, shards: int, **rollout: Any) -> Tree:
    """One problem a shard; the model's files are there to be hashed."""
    source = {"name": "sums", "source": "arithmetic", "count": shards}
    return {
        "name": "drill",
        "store": store,
        "model": {"path": str(ROOT / "assets" / "tiny-llada"), "device": "cpu", "threads": 1},
        "data": [source],
        "rollout": {"response_length": 32, "block_length": 32, "shard_size": 1, "lease_s": 20, **rollout},
        "distill": {"states_per_trajectory": 1},
        "evaluate": {"tasks": [{**source, "split": "heldout", "count": 1}], "thresholds": [0.5]},
    }


def environment(folder: Path, host: str, shard_s: float = 0.2, **more: str) -> dict[str, str]:
    """A host's own: its home, its caches, no Prefect of anybody else. The journal is shared, to be counted."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = folder / host
    home.mkdir(parents=True, exist_ok=True)
    return {
        **clean,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(home),
        "TAD_CACHE": str(home / "cache"),
        "PREFECT_HOME": str(with_records(home / "prefect")),
        "DRILL_JOURNAL": str(folder / "journal"),
        "DRILL_SHARD_S": str(shard_s),
        **more,
    }


def start(module: str, words: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A process of its own group, so that a whole host can be killed."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0,
            preexec_fn=as_from_a_terminal,
        )  # fmt: skip


def as_from_a_terminal() -> None:
    """``preexec_fn``: signals do what they do to a command that a user typed.

    A shell that is not interactive starts what it puts into the background with SIGINT ignored, and whatever is
    ignored is inherited by every child: of Ctrl-C a run would then never hear.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def write(tree: Tree, folder: Path) -> str:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    return str(file)


def begun(folder: Path) -> Counter[str]:
    """How often each shard was begun, by its name."""
    journal = folder / "journal"
    lines = journal.read_text().splitlines() if journal.exists() else []
    return Counter(line.split()[0] for line in lines)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def workers_below(pid: int) -> list[psutil.Process]:
    return [p for p in family(pid) if _is_worker(p)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("fake_worker" in word for word in process.cmdline())
    except psutil.Error:
        return False


def alive(process: psutil.Process) -> bool:
    try:  # one that nobody has reaped yet has ended all the same
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 300, what: str = "it") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} took longer than {seconds:g} s"
        time.sleep(0.05)


def content(store: str, fingerprint: str | None = None) -> dict[str, bytes]:
    """Every table of the collection, byte by byte."""
    from tad_core.artifacts.files import open_url

    fs, root = open_url(store)
    files = [str(f) for f in fs.find(f"{root}/collect") if str(f).endswith(".parquet")]
    return {file.rpartition("/")[2]: fs.cat_file(file) for file in files}


def leftovers(store: Path) -> list[str]:
    """Files that are neither an artifact's nor a record: half-written ones, claims."""
    hidden = [
        p
        for p in store.rglob("*")
        if p.is_file() and any(w.startswith(".") for w in p.relative_to(store).parts)
    ]
    return [str(p.relative_to(store)) for p in hidden if ".runs" not in p.parts]

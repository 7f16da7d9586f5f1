"""Eight whole runs at once on one store, two of them killed: what each of them makes alone, and nothing of it twice."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.drills.common import environment, leftovers, start, wait_until, write

pytestmark = pytest.mark.timeout(1800)
Tree = dict[str, Any]


@pytest.fixture(
    params=[pytest.param("folder", marks=pytest.mark.slow), pytest.param("s3", marks=pytest.mark.services)]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('s3_bucket')}/store"


def set_ups(make_tree: Callable[[Path], Tree], store: str) -> dict[str, Tree]:
    """The same, of the same trajectories another model, of other trajectories everything."""
    found = {name: {**make_tree(Path("x")), "store": store} for name in ("same", "model", "all")}
    for tree in found.values():
        tree["rollout"] = {**tree["rollout"], "lease_s": 20}
    found["model"]["distill"] = {**found["model"]["distill"], "learning_rate": 2e-3}
    (source,) = found["all"]["data"]
    found["all"]["data"] = [{**source, "count": 6}]
    return found


def journal(folder: Path) -> list[tuple[str, int]]:
    """What was begun, and by which process."""
    file = folder / "journal"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(what, int(pid)) for what, pid in map(str.split, lines)]


def run(tree: Tree, folder: Path, name: str, cache: str) -> subprocess.Popen[bytes]:
    own = folder / name
    own.mkdir()
    env = {**environment(folder, name), "TAD_CACHE": str(folder / cache)}
    return start("tests.drills.many", [write(tree, own)], env, own / "log")


def made(tree: Tree) -> dict[str, Any]:
    """What a set-up has in its store, every file read: what is the same each time it is made."""
    from tad_core.artifacts import Store
    from tad_core.config import parse_config
    from tad_core.evaluation.records import read_records
    from tad_core.stages.pipeline import run_pipeline
    from tad_core.stages.status import pipeline_status

    config, store = parse_config(tree), Store(tree["store"], anew=True)
    seen = pipeline_status(config, store)
    assert {entry.state for entry in seen} == {"done"}, [entry for entry in seen if entry.state != "done"]
    outcome = run_pipeline(config, store)
    (adapter,) = outcome.distilled.values()
    weights = {n: e.sha256 for n, e in adapter.manifest.files.items() if n.startswith("adapter/")}
    records = {
        name: [{**asdict(record), "wall_s": 0} for record in read_records(ref.local("results.parquet"))]
        for name, ref in outcome.evaluated.items()
    }
    return {
        "trajectories": outcome.collection.digest,
        "verdicts": outcome.filtered_ref.digest,
        "windows": outcome.windows.read_json("curve.json"),
        "weights": weights,
        "records": records,
        "pages": {n for n in outcome.report.manifest.files if n.endswith((".md", ".html"))},
    }


def test_eight_runs_at_once_of_which_two_are_killed(
    store: str, make_tree: Callable[[Path], Tree], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = set_ups(make_tree, store)
    kinds = ["same"] * 4 + ["model"] * 2 + ["all"] * 2
    runs: list[subprocess.Popen[bytes]] = []
    killed: set[int] = set()

    def kill_one_at(what: str, count: int) -> None:
        """The one that began the last of so many, while it is at it."""

        def begun() -> list[int]:
            return [pid for done, pid in journal(tmp_path) if done.startswith(what) and pid not in killed]

        wait_until(lambda: len(begun()) >= count or all(r.poll() is not None for r in runs), 900, what)
        pid = begun()[-1]
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)

    try:
        for i, kind in enumerate(kinds):
            # What is no part of a result differs from run to run, as between people.
            tree = {**trees[kind], "evaluate": {**trees[kind]["evaluate"], "workers": 1 + i % 2}}
            tree["rollout"] = {**tree["rollout"], "workers": 1 + i % 2}
            # In a bucket each is a host of its own; on a disk they share the host's.
            runs.append(run(tree, tmp_path, f"{i}-{kind}", f"cache-{i if '://' in store else ''}"))
        kill_one_at("collect/", 2)
        kill_one_at("distill/", 1)
        codes = {r.pid: r.wait(timeout=1200) for r in runs}
    finally:
        for r in runs:
            if r.poll() is None:
                os.killpg(r.pid, signal.SIGKILL)
                r.wait()
    logs = "\n".join((tmp_path / f"{i}-{kind}" / "log").read_text()[-1500:] for i, kind in enumerate(kinds))
    assert {pid: code for pid, code in codes.items() if code} == dict.fromkeys(killed, -signal.SIGKILL), logs

    begun = defaultdict(list)
    for what, pid in journal(tmp_path):
        begun[what].append(pid)
    twice = {
        what: pids
        for what, pids in begun.items()
        if len(set(pids) - killed) + (len(pids) > len(set(pids))) > 1
    }
    assert twice == {}
    if "://" not in store:
        assert leftovers(Path(store)) == []

    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache of a reader"))
    count = len(journal(tmp_path))
    alone = tmp_path / "alone"
    alone.mkdir()
    for kind, tree in trees.items():
        by_itself = {**tree, "store": str(alone / f"store-{kind}")}
        assert run(by_itself, alone, kind, f"cache-{kind}").wait(600) == 0, (
            alone / kind / "log"
        ).read_text()[-3000:]
        assert made(tree) == made(by_itself), kind
    assert len(journal(tmp_path)) == count

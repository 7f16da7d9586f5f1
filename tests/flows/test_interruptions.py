"""The command in processes of its own, killed and stopped in the middle, against a real server and without one."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
import yaml

from tests.drills import fake_worker
from tests.drills.common import as_from_a_terminal, content, tree_of
from tests.records import with_records

Tree = dict[str, Any]
#: Generous: a busy machine is slower by far, and nothing here is about speed.
DEADLINE_S = 300
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_records(tmp_path_factory.mktemp("prefect"))


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**clean, "PREFECT_HOME": str(home), "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``prefect server start`` as a user would, on a free port; this also guards the pin of fastapi."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    own = {**environment, "PREFECT_SERVER_API_PORT": str(port), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with log.open("wb") as out, subprocess.Popen(command, env=own, stdout=out, stderr=out) as process:
        url = f"http://127.0.0.1:{port}/api"
        try:
            wait_until(lambda: answers(url) or process.poll() is not None)
            assert process.poll() is None, log.read_text()[-2000:]
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=1):
            return True
    except (URLError, OSError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.fixture
def slow(tmp_path: Path) -> Tree:
    """Nine shards in two workers without a model: what is interrupted is all real."""
    return tree_of(str(tmp_path / "store"), 9, workers=2)


def start(
    tree: Tree, folder: Path, environment: dict[str, str], word: str = "collect", module: str = "flows.cli"
) -> subprocess.Popen[str]:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    return subprocess.Popen(
        [sys.executable, "-m", module, word, str(file)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0,
        preexec_fn=as_from_a_terminal,
    )  # fmt: skip


def alive(process: psutil.Process) -> bool:
    try:  # one that nobody has reaped yet has ended all the same
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def shards(tree: Tree) -> dict[str, int]:
    return {f.name: f.stat().st_mtime_ns for f in Path(tree["store"]).glob("collect/*/privileged-*.json")}


def test_killed_and_stopped_runs_go_on_where_they_were(
    slow: Tree, server: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """kill -9, then Ctrl-C, then to the end: no finished shard is computed twice, the data are the same."""
    hold, journal = tmp_path / "hold", tmp_path / "journal"  # so that none is over before it is stopped
    held = {"DRILL_JOURNAL": str(journal), "DRILL_HOLD": str(hold)}
    environment = {**environment, **held, "PREFECT_API_URL": server}
    attacked = functools.partial(start, slow, tmp_path, environment, module="tests.drills.run")

    hold.write_text("3")
    run = attacked()
    wait_until(lambda: len(shards(slow)) >= 2 or run.poll() is not None)
    children = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate()
    assert children, "workers were at work"
    wait_until(lambda: not any(map(alive, children)))
    after_kill = shards(slow)
    assert 2 <= len(after_kill) < 9, "killed in the middle"

    hold.write_text(f"{len(journal.read_text().splitlines()) + 2}")
    run = attacked()
    wait_until(lambda: len(shards(slow)) > len(after_kill) or run.poll() is not None)
    children = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)  # what a terminal does: the whole foreground group gets it
    output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 130
    assert (
        "To go on, run the same command" in output and "config.yaml" in output and "Traceback" not in output
    )
    wait_until(lambda: not any(map(alive, children)))
    after_stop = shards(slow)
    assert len(after_kill) < len(after_stop) < 9
    assert after_stop.items() >= after_kill.items()

    hold.unlink()
    run = attacked("resume")
    output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, output
    assert len(shards(slow)) == 9 and shards(slow).items() >= after_stop.items()
    assert undisturbed(slow, tmp_path) == content(slow["store"])
    # Of the first nobody was left to tell the server; the next found its process gone. Ctrl-C is told at once.
    assert run_states(server) == ["Completed", "Crashed", "Crashed"]
    assert "going on with drill to collect" in output and "it was stopped" in output


def undisturbed(tree: Tree, folder: Path) -> dict[str, bytes]:
    """The same collection by the library alone, in this process."""
    from tad_core.artifacts import Store
    from tad_core.config import parse_config
    from tad_core.stages import collect as stage

    store = str(folder / "undisturbed")
    config = parse_config({**tree, "store": store})
    plan = stage.plan_collection(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "roll_out", fake_worker.decode)
        for shard in plan.shards:
            stage.collect_shard(config, plan, shard.index, Store(store), loaded=(None, None))
    return content(store)


def run_states(url: str) -> list[str]:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        return sorted(str(run.state.name) for run in client.read_flow_runs() if run.state)


@pytest.mark.slow
def test_without_a_server_it_runs_and_leaves_no_process(
    make_tree: Callable[[Path], Tree], environment: dict[str, str], tmp_path: Path
) -> None:
    run = start(make_tree(tmp_path / "store"), tmp_path, environment)
    seen: set[psutil.Process] = set()
    while run.poll() is None:
        seen |= set(psutil.Process(run.pid).children(recursive=True)) if psutil.pid_exists(run.pid) else set()
        time.sleep(0.1)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "a temporary one" in output and "collect: 9/9 samples (100 %)" in output
    assert seen
    wait_until(lambda: not any(map(alive, seen)))
    assert " | INFO" not in output, "Prefect's own lines stay out of the terminal"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_evaluation_leaves_no_process_and_goes_on_with_its_slices(
    make_tree: Callable[[Path], Tree], environment: dict[str, str], tmp_path: Path, number: int
) -> None:
    tree = make_tree(tmp_path / "store")
    tree["rollout"]["lease_s"] = 5.0
    tree["evaluate"] |= {
        "tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 24}],
        "models": ["base"],
        "decode": {"block_length": 8, "early_stop": False},
        "harness": "direct",
        "slice_size": 1,
        "workers": 2,
    }

    def slices() -> dict[str, int]:
        return {f.name: f.stat().st_mtime_ns for f in Path(tree["store"]).glob("decode/*/*.json")}

    run = start(tree, tmp_path, environment, "evaluate")
    wait_until(lambda: len(slices()) >= 2 or run.poll() is not None)
    assert run.poll() is None, run.communicate()[0]
    children = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, number)  # the whole foreground group gets it
    output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 130, output
    assert "Traceback" not in output
    wait_until(lambda: not any(map(alive, children)))
    there = slices()
    assert not list(Path(tree["store"]).glob("evaluate/*/manifest.json")), "it was stopped in the middle"
    run = start(tree, tmp_path, environment, "evaluate")
    output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, output
    assert len(slices()) == 48 and there.items() <= slices().items()
    assert not [p for p in Path(tree["store"], ".leases").rglob("*") if p.is_file()]


@pytest.mark.slow
def test_stopped_training_saves_a_checkpoint_first_and_goes_on_from_it(
    make_tree: Callable[[Path], Tree], environment: dict[str, str], tmp_path: Path
) -> None:
    """No checkpoint is due before the end, so the one that is there was saved because of the stop."""
    tree = make_tree(tmp_path / "store")
    tree["distill"] |= {"max_steps": 200, "save_steps": 1000, "log_steps": 1}
    run = start(tree, tmp_path, environment, "distill")
    seen: set[psutil.Process] = set()

    def training() -> bool:
        seen.update(psutil.Process(run.pid).children(recursive=True) if run.poll() is None else [])
        logs = list(Path(tree["store"]).glob("distill/*/work/train.log"))
        return run.poll() is not None or any("step 3/" in log.read_text() for log in logs)

    wait_until(training)
    assert run.poll() is None, run.communicate()[0]
    os.killpg(run.pid, signal.SIGTERM)  # what a cancelled deployment gets
    asked = time.monotonic()
    output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 130, output
    wait_until(lambda: not any(map(alive, seen)))
    took = time.monotonic() - asked
    assert took < 30 or os.getloadavg()[0] > os.cpu_count(), f"{took:.0f} s on a machine that is not busy"
    (work,) = Path(tree["store"]).glob("distill/*/work")
    steps = [int(folder.name.rpartition("-")[2]) for folder in work.glob("checkpoint-*")]
    assert len(steps) == 1 and 3 <= steps[0] < 200

    output, _ = start(tree, tmp_path, environment, "distill").communicate(timeout=DEADLINE_S)
    (losses,) = Path(tree["store"]).glob("distill/*/losses.jsonl")
    assert [json.loads(line)["step"] for line in losses.read_text().splitlines()] == list(range(1, 201)), (
        output
    )
    assert not work.exists()

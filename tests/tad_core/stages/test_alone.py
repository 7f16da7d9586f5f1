"""An artifact is made by one process at a time; who comes meanwhile takes it, and nobody waits for the dead."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.files import machine
from tad_core.artifacts.leases import Leases
from tad_core.errors import TrainingError
from tad_core.stages import alone
from tad_core.stages import distill as distill_stage
from tad_core.stages.alone import made_once
from tad_core.stages.distill import distill_together

MARK = "f" * 32


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_LOOK_S", 0.02)


class Making:
    """Publishes an artifact slowly, with another setting each time; counts how often it was begun and at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.begun, self.now, self.most = store, 0, 0, 0

    def find(self) -> ArtifactRef | None:
        return self.store.find("stage", MARK)

    def make(self) -> ArtifactRef:
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        with self.store.writer("stage", 1, MARK, {}) as writer:
            writer.write_text("config.yaml", f"workers: {self.begun}")
            time.sleep(0.2)
            ref = writer.commit()
        self.now -= 1
        return ref

    def once(self, force: bool = False) -> ArtifactRef:
        return made_once(self.store, "stage", MARK, 30, self.find, self.make, force)


@pytest.mark.parametrize("where", ["folder", "memory"])
def test_many_at_once_make_it_once(tmp_path: Path, where: str) -> None:
    store = Store(tmp_path if where == "folder" else f"memory://alone/{tmp_path.name}")
    making = Making(store)
    with ThreadPoolExecutor(8) as threads:
        refs = list(threads.map(lambda _: making.once(), range(8)))
    assert making.begun == 1 and len({ref.digest for ref in refs}) == 1
    assert making.once() == refs[0] and making.begun == 1


def test_those_that_are_told_to_make_it_do_so_one_after_the_other(tmp_path: Path) -> None:
    making = Making(Store(tmp_path))
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: making.once(force=True), range(3)))
    assert making.begun == 3 and making.most == 1
    assert making.find() is not None, "no manifest lies beside the file of another"


def test_what_fails_is_tried_by_the_next_in_line(tmp_path: Path) -> None:
    making, begun = Making(Store(tmp_path)), threading.Event()

    def fail() -> ArtifactRef:
        begun.set()
        time.sleep(0.1)
        raise TrainingError("a gradient is not finite")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(made_once, making.store, "stage", MARK, 30, making.find, fail)
        begun.wait()
        second = threads.submit(making.once)
        with pytest.raises(TrainingError):
            first.result()
        assert second.result() == making.find() and making.begun == 1


def test_a_claim_of_a_process_that_was_killed_is_nobodys(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    claim = {
        "machine": machine(),
        "pid": dead.pid,
        "started": time.time(),
        "beat": time.time(),
        "lease_s": 3600,
    }
    folder = tmp_path / ".leases" / "stage" / MARK
    folder.mkdir(parents=True)
    (folder / "whole.1.json").write_text(json.dumps(claim))
    assert Making(Store(tmp_path)).once()
    assert list(folder.iterdir()) == []


def test_a_store_that_takes_no_claim_costs_the_claim_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise OSError("no space")

    monkeypatch.setattr(Leases, "take", refuse)
    making = Making(Store(tmp_path))
    assert making.once() == making.find()


def test_who_waits_is_told_for_whom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    making = Making(Store(tmp_path))
    with making.store.leases("stage", MARK, 30) as other:
        assert other.take("whole")
        waiting = threading.Thread(target=making.once)
        waiting.start()
        while not caplog.messages:
            time.sleep(0.01)
    waiting.join()
    assert making.begun == 1
    (said,) = caplog.messages
    assert said.startswith("stage is being made by ") and said.endswith("; this run waits for it")


def test_runs_at_once_train_a_model_once(
    tiny_config: Any, made: Callable[[], tuple[ArtifactRef, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they train in one pass: one both models, another one of them, a third both in the other order."""
    trained: list[str] = []

    def train(specs: dict[str, Any], *_: object) -> None:
        for mode, spec in specs.items():
            trained.append(mode)
            output = Path(spec.output)
            (output / "adapter").mkdir()
            (output / "adapter" / "weights").write_text(mode)
            (output / "losses.jsonl").write_text("")
            time.sleep(0.2)
            assert (output / "adapter" / "weights").read_text() == mode
            (output / "summary.json").write_text(json.dumps(dict.fromkeys(distill_stage._INFO, 1)))

    monkeypatch.setattr(distill_stage, "_train", train)
    collection, filtered, windows = made()
    store = Store(tiny_config.store)

    def run(modes: list[str]) -> dict[str, ArtifactRef]:
        return distill_together(tiny_config, modes, collection, filtered, windows, store)

    passes = [["quality", "speed"], ["speed"], ["speed", "quality"], ["quality"]]
    with ThreadPoolExecutor(len(passes)) as threads:
        found = list(threads.map(run, passes))
    assert sorted(trained) == ["quality", "speed"]
    assert [list(each) for each in found] == passes
    assert all(ref == found[0][mode] for each in found for mode, ref in each.items())
    assert not list(Path(store.root).rglob("work"))


@pytest.fixture
def made(tiny_config: Any) -> Callable[[], tuple[ArtifactRef, ...]]:
    """A collection, its verdicts and windows, with nothing in them that a training would read."""

    def make() -> tuple[ArtifactRef, ...]:
        store, refs = Store(tiny_config.store), []
        for stage in ("collect", "filter", "calibrate"):
            with store.writer(stage, 1, MARK, {}) as writer:
                writer.write_text("problems.jsonl", "")
                writer.write_text("privileged-00000-00001.parquet", "")
                writer.write_text("privileged-00000-00001.verdicts.parquet", "")
                writer.write_json("curve.json", {m: {"window": 4} for m in ("quality", "speed")})
                shard = {"name": "privileged-00000-00001", "condition": "privileged", "rows": 1}
                refs.append(writer.commit({"shards": [shard], "kept": 1}))
        return tuple(refs)

    return make

"""A filter that is killed in the middle of programs, and a verifier that keeps failing."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.data.problem import Problem
from tad_core.errors import VerifierError
from tad_core.stages import filter as stage
from tad_core.verify import Judgement, TierReport, Verifier
from tad_core.verify import verifier as verifier_module
from tad_core.verify.sandbox.launch import Keeper, KeeperError
from tests.tad_core.stages.test_filter import FakePlan, collect, make_config, row

FENCE = "```"
RIGHT = f"{FENCE}python\ndef f():\n    return 1\n{FENCE}"
CODE_SHARDS = {
    f"privileged-{i:05}-{i + 2:05}": [
        replace(row("p0", RIGHT), kind="code"),
        replace(row("p1", RIGHT.replace("return 1", "return 2")), kind="code"),
    ]
    for i in range(0, 8, 2)
}


def code_plan() -> FakePlan:
    plan = FakePlan()
    for name in plan.problems:
        plan.problems[name] = Problem(name, "even", "code", "?", "ref", tests="assert f() == 1")
    return plan


def filter_in_a_child(root: str) -> None:
    """What the killed process runs: a line for each shard that is done; in the middle of the third it stays."""
    store = Store(Path(root))
    collection, _ = collect(store, CODE_SHARDS)

    class Stays(Verifier):
        begun = 0

        def judge(self, problems: Any, texts: Any, tell: Any = None) -> list[Judgement]:
            self.begun += 1
            if self.begun < 3:
                return super().judge(problems, texts, tell)
            super().judge(problems[:1], texts[:1])
            print("in the middle", flush=True)
            time.sleep(600)
            raise AssertionError("nobody killed it")

    stage.Verifier = Stays  # type: ignore[misc]
    stage.filter_all(make_config(), code_plan(), collection, store, lambda p: print(p.done, flush=True))


def shards_done(store: Store) -> list[str]:
    mark = stage.key(make_config(), code_plan())
    return [name for name in CODE_SHARDS if store.state("filter", mark, f"{name}.json")[0] == "done"]


def test_a_filter_that_is_killed_goes_on_at_the_shard_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; from tests.tad_core.stages import test_filter_faults as t; t.filter_in_a_child(sys.argv[1])"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(3)] == [b"2\n", b"4\n", b"in the middle\n"]
    child.kill()
    child.wait()
    child.stdout.close()
    store = Store(tmp_path)
    before = shards_done(store)
    assert before == list(CODE_SHARDS)[:2]
    judged: list[str] = []
    real = Verifier.judge

    def spy(self: Verifier, problems: Any, texts: Any, tell: Any = None) -> list[Judgement]:
        judged.extend(texts)
        return real(self, problems, texts, tell)

    monkeypatch.setattr(Verifier, "judge", spy)
    collection = store.find("collect", FakePlan().fingerprint)
    assert collection is not None

    filtered = stage.filter_all(make_config(), code_plan(), collection, store)

    assert len(judged) == 4
    summary = stage.read_summary(filtered)
    assert (summary["rows"], summary["kept"]) == (8, 4)
    assert sum(entry["rejected"].get("failed", 0) for entry in summary["by_source"]) == 4
    assert shards_done(store) == list(CODE_SHARDS)


def test_a_verifier_that_keeps_failing_stops_the_run_and_counts_nobody_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one: its sandbox is killed at every attempt."""
    store = Store(tmp_path)
    attempts: list[int] = []

    def dies(self: Keeper, *args: Any) -> Any:
        attempts.append(1)
        raise KeeperError("killed")

    monkeypatch.setattr(Keeper, "run", dies)
    monkeypatch.setattr(verifier_module, "require_tier", lambda choice: TierReport(1, "tier 1: bubblewrap"))
    _, (shard, *_) = collect(store, CODE_SHARDS)
    config = make_config()
    retries = config.filter.retries

    with pytest.raises(VerifierError, match=rf"failed {retries + 1} times at one item: killed"):
        stage.filter_shard(config, code_plan(), shard, store)

    assert len(attempts) >= retries + 1
    assert shards_done(store) == []

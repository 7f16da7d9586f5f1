from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.errors import ArtifactError, DataError, LogitsError, ModelError, SubprocessError
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.progress import OnProgress, Progress, silent
from tad_core.stages import collect as stage
from tad_core.stages.filter import filter_all
from tad_core.trajectory.shards import read_trajectories, write_trajectories
from tad_core.workers.devices import workers_of
from tad_core.workers.fanning import fan_out
from tad_core.workers.jobs import ShardJob
from tad_core.workers.pool import Pool
from tests.waiting import CEILING_S, until


def rows(ref: Any) -> list[Any]:
    return list(stage.iter_trajectories(ref))


def collect_here(config: Any, on_progress: OnProgress = silent) -> Any:
    """Collect in this process: the same function the workers call."""
    store, plan = Store(config.store), stage.plan_collection(config)
    loaded = (load_model(config.model), load_tokenizer(config.model.path))
    refs = [
        stage.collect_shard(config, plan, s.index, store, on_progress, loaded=loaded) for s in plan.shards
    ]
    return stage.finish_collection(config, plan, refs, store)


def test_a_question_with_strange_line_ends_comes_back_from_the_collection(
    tiny_tree: dict[str, Any], tmp_path: Path
) -> None:
    asked = "one\u2028two\x85three\x1efour"
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"question": asked, "answer": "So it is 4.\u2028#### 4"}) + "\n")
    tiny_tree["data"] = [{"name": "own", "source": "jsonl", "count": 1, "options": {"path": str(file)}}]
    config = parse_config(tiny_tree)
    plan = stage.plan_collection(config)
    assert stage.read_problems(collect_here(config)) == plan.problems
    assert plan.problems["own/1"].question == asked


def test_shards_faster_than_the_clock_still_make_a_manifest(
    tiny_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.time, "monotonic", lambda: 5.0)
    assert collect_here(tiny_config).manifest.info["samples_per_s"] == 8000.0  # 8 rows in a millisecond


def test_plan_cuts_fixed_slices(tiny_tree: dict[str, Any]) -> None:
    tiny_tree["rollout"]["compare_plain"] = 2
    plan = stage.plan_collection(parse_config(tiny_tree))
    assert [s.name for s in plan.shards] == [
        "privileged-00000-00003", "privileged-00003-00006", "privileged-00006-00008", "plain-00000-00002",
    ]  # fmt: skip
    assert [p.id for s in plan.shards[:3] for p in plan.slice(s)] == [p.id for p in plan.ordered]
    assert plan.compared == [plan.ordered[0], plan.ordered[4]]  # spread over the sources


def test_comparing_more_problems_does_not_take_the_shards_of_fewer(tiny_tree: dict[str, Any]) -> None:
    """Three of eight and four of eight are spread differently, and their first shards are called alike."""
    for count in (3, 4, 3):
        tiny_tree["rollout"]["compare_plain"] = count
        config = parse_config(tiny_tree)
        plan = stage.plan_collection(config)
        found = [r.problem_id for r in rows(collect_here(config)) if r.condition == "plain"]
        assert found == [p.id for p in plan.compared]


def test_rows_are_complete_and_the_student_never_sees_the_reference(tiny_tree: dict[str, Any]) -> None:
    tiny_tree["rollout"]["compare_plain"] = 2
    config = parse_config(tiny_tree)
    told: list[Progress] = []
    ref = collect_here(config, told.append)
    assert told[0].done == 0 and told[0].total == 3, "the model is loaded: from here on its speed is known"
    tokenizer = load_tokenizer(config.model.path)
    problems = stage.read_problems(ref)
    found = rows(ref)
    assert [r.problem_id for r in found if r.condition == "privileged"] == list(problems)
    for row in found:
        reference = tokenizer(problems[row.problem_id].reference, add_special_tokens=False)["input_ids"]
        student, teacher = row.student_prompt_ids, row.teacher_prompt_ids
        spans = [teacher[i : i + len(reference)] == reference for i in range(len(teacher))]
        assert any(spans) == (row.condition == "privileged")
        assert not any(student[i : i + len(reference)] == reference for i in range(len(student)))
        assert (student == teacher) == (row.condition == "plain")
    assert ref.manifest.info["trajectories"] == len(found) == 10


def test_the_same_trajectories_whatever_the_batch_and_shard_size(
    tiny_tree: dict[str, Any], tmp_path: Path
) -> None:
    seen = []
    for i, change in enumerate(
        ({}, {"batch_size": 1}, {"shard_size": 8, "batch_size": 3}, {"shard_size": 1})
    ):
        tiny_tree["store"] = str(tmp_path / str(i))
        config = parse_config({**tiny_tree, "rollout": {**tiny_tree["rollout"], **change}})
        seen.append((stage.key(config), rows(collect_here(config))))
    assert all(other == seen[0] for other in seen[1:])


def test_another_seed_or_temperature_is_another_artifact(tiny_tree: dict[str, Any]) -> None:
    base = stage.key(parse_config(tiny_tree))
    for change in ({"seed": 1}, {"temperature_math": 0.1}, {"samples": 2}, {"finish_early": False}):
        tree = {**tiny_tree, "rollout": {**tiny_tree["rollout"], **change}}
        assert stage.key(parse_config(tree)) != base
    assert stage.key(parse_config({**tiny_tree, "name": "other"})) == base


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip"])
def test_a_damaged_shard_alone_is_recomputed(
    tiny_config: Any, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = collect_here(tiny_config)
    before = rows(ref)
    path = ref.local("privileged-00003-00006.parquet")
    data = bytearray(path.read_bytes())
    stamps = {p.name: p.stat().st_mtime_ns for p in path.parent.glob("*.parquet") if p != path}
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    plan, store = stage.plan_collection(tiny_config), Store(tiny_config.store)
    assert stage.find_collection(plan, store) is None
    decoded: list[str] = []
    original = stage.roll_out
    monkeypatch.setattr(
        stage,
        "roll_out",
        lambda c, p, shard, *rest: decoded.append(shard.name) or original(c, p, shard, *rest),
    )
    again = collect_here(tiny_config)
    assert decoded == ["privileged-00003-00006"]
    assert rows(again) == before and again.digest == ref.digest
    assert {p.name: p.stat().st_mtime_ns for p in path.parent.glob("*.parquet") if p != path} == stamps


@pytest.mark.parametrize("damage", ["missing", "unreadable"])
def test_manifests_that_a_closed_collection_lost_are_mended_without_decoding(
    tiny_tree: dict[str, Any], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_tree["rollout"]["compare_plain"] = 2
    config = parse_config(tiny_tree)
    whole = collect_here(config)
    plan, store = stage.plan_collection(config), Store(config.store)
    before = stage.find_shards(plan, plan.shards, store)
    lost = [Path(whole.url, f"{name}.json") for name in ("privileged-00003-00006", "plain-00000-00002")]
    for file in lost:
        file.unlink() if damage == "missing" else file.write_text("{")
    with pytest.raises(ArtifactError, match="run `tad collect` again"):
        filter_all(config, plan, whole, store)
    monkeypatch.setattr(Pool, "run", lambda *_: pytest.fail("nothing is decoded"))
    assert stage.collect(config, store).digest == whole.digest
    after = stage.find_shards(plan, plan.shards, store)
    assert {shard.name: ref.digest for shard, ref in after.items()} == {
        shard.name: ref.digest for shard, ref in before.items()
    }
    with pytest.raises(DataError, match="0 of 8 privileged trajectories passed"):  # all are judged
        filter_all(config, plan, whole, store)


def test_a_closed_collection_lists_the_shards_that_it_is_closed_with(tiny_config: Any) -> None:
    """One that was lost and decoded again elsewhere may differ in its bits."""
    whole = collect_here(tiny_config)
    plan, store = stage.plan_collection(tiny_config), Store(tiny_config.store)
    refs = list(stage.find_shards(plan, plan.shards, store).values())
    found = read_trajectories(refs[1].local("privileged-00003-00006.parquet"))
    found[0] = replace(found[0], text=f"{found[0].text} else")
    with store.writer(
        "collect", stage.STAGE_VERSION, plan.fingerprint, {}, manifest_name="privileged-00003-00006.json"
    ) as writer:
        write_trajectories(writer.path("privileged-00003-00006.parquet", rows=3, by_content=True), found)
        refs[1] = writer.commit(refs[1].manifest.info)
    again = stage.finish_collection(tiny_config, plan, refs, store)
    assert again.digest != whole.digest
    assert rows(again)[3] == found[0]
    assert stage.finish_collection(tiny_config, plan, refs, store) == again


def test_workers_give_the_same_rows_and_report_progress(tiny_tree: dict[str, Any], tmp_path: Path) -> None:
    alone = rows(collect_here(parse_config({**tiny_tree, "store": str(tmp_path / "a")})))
    tree = {**tiny_tree, "store": str(tmp_path / "b"), "rollout": {**tiny_tree["rollout"], "workers": 2}}
    events: list[Any] = []
    ref = stage.collect(parse_config(tree), Store(tree["store"]), events.append)
    assert rows(ref) == alone
    assert sum(e.total for e in events if e.done == e.total) == 8


@pytest.fixture
def light_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with the real protocol and store, but without a model, whose import takes most of the time."""
    monkeypatch.setattr("tad_core.workers.pool.MODULE", "tests.drills.fake_worker")


@pytest.mark.usefixtures("light_worker")
def test_a_killed_worker_costs_its_shard_alone(tiny_config: Any) -> None:
    store = Store(tiny_config.store)
    plan = stage.plan_collection(tiny_config)
    with Pool(tiny_config.model) as pool:
        pool.run(stage.shard_job(tiny_config, store, plan.shards[0]))
        (worker,) = pool.pids()
        os.kill(worker, signal.SIGKILL)
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        assert stage.find_shard(plan, plan.shards[0], store) is not None
        ref = pool.run(stage.shard_job(tiny_config, store, plan.shards[1]))  # a new worker takes over
    assert len(read_trajectories(ref.local("privileged-00003-00006.parquet"))) == 3


@pytest.mark.usefixtures("light_worker")
def test_a_listener_that_fails_leaves_no_answer_for_the_next_shard(tiny_config: Any) -> None:
    def fails(_: Any) -> None:
        raise RuntimeError("nobody listens")

    store, plan = Store(tiny_config.store), stage.plan_collection(tiny_config)
    with Pool(tiny_config.model) as pool:
        with pytest.raises(RuntimeError, match="nobody listens"):
            pool.run(stage.shard_job(tiny_config, store, plan.shards[0]), fails)
        ref = pool.run(stage.shard_job(tiny_config, store, plan.shards[1]))
        assert ref.manifest_name == "privileged-00003-00006.json"


@pytest.mark.usefixtures("light_worker")
def test_a_caller_that_stops_leaves_the_rest_undone(tiny_config: Any) -> None:
    store, plan = Store(tiny_config.store), stage.plan_collection(tiny_config)
    with Pool(tiny_config.model) as pool:
        results = fan_out(
            plan.shards, lambda shard: pool.run(stage.shard_job(tiny_config, store, shard)), 1, pool.close
        )
        assert next(results)[0] == plan.shards[0]
        results.close()  # type: ignore[attr-defined]
        assert not pool.pids()
    assert stage.find_shard(plan, plan.shards[0], store) is not None
    assert stage.find_shard(plan, plan.shards[2], store) is None


def test_errors_of_a_worker_arrive_as_they_are(
    tiny_tree: dict[str, Any], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    tiny_tree["model"]["path"] = str(folder)
    config = parse_config(tiny_tree)
    with (
        Pool(config.model) as pool,
        pytest.raises(ModelError, match=r"model\.safetensors"),
    ):
        pool.run(ShardJob(config, Store(config.store), ("privileged", 0, 3)))


def test_with_a_model_that_gives_no_numbers_no_other_shard_is_begun(
    tiny_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def damaged(job: ShardJob, *_: Any) -> Any:
        asked.append(job.piece)
        raise LogitsError("not numbers")

    with Pool(tiny_config.model) as pool:
        monkeypatch.setattr(pool, "run", damaged)
        with pytest.raises(LogitsError, match="not numbers"):
            stage.collect(tiny_config, Store(tiny_config.store), pool=pool)
    assert len(asked) <= workers_of(tiny_config) < len(stage.plan_collection(tiny_config).shards)


def test_a_worker_that_dies_at_work_says_so(tiny_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        Pool(tiny_config.model) as pool,
        pytest.raises(SubprocessError, match="code 1"),
    ):
        pool.run(ShardJob(tiny_config, Store(tiny_config.store), ("privileged", 0, 3)))


def test_bad_input_is_refused_before_anything_runs(tiny_tree: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        stage.plan_collection(parse_config({**tiny_tree, "model": {"path": str(tmp_path / "none")}}))
    tree = {**tiny_tree, "rollout": {**tiny_tree["rollout"], "compare_plain": 99}}
    with pytest.raises(DataError, match="compare_plain: 99 is more than the 8 problems"):
        stage.plan_collection(parse_config(tree))


RUN = """
import sys, yaml
from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages.collect import collect
config = parse_config(yaml.safe_load(open(sys.argv[1])))
print("go", flush=True)
collect(config, Store(config.store))
"""


@pytest.mark.slow
def test_kill_minus_nine_then_the_same_command(tiny_tree: dict[str, Any], tmp_path: Path) -> None:
    """Finished shards are kept, no worker outlives its parent, and the data equal an undisturbed run's."""
    tiny_tree["data"][0]["count"] = 17
    tiny_tree["rollout"].update(shard_size=2, workers=2, response_length=32, finish_early=False)
    undisturbed = rows(collect_here(parse_config({**tiny_tree, "store": str(tmp_path / "undisturbed")})))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny_tree))
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(tmp_path / "config.yaml")]
    config = parse_config(tiny_tree)
    plan, store = stage.plan_collection(config), Store(config.store)
    folder = Path(store.url("collect", plan.fingerprint))

    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline()
    until(
        lambda: len(list(folder.glob("privileged-*.json"))) >= 3 or child.poll() is not None, "three shards"
    )
    assert child.poll() is None
    workers = _children(child.pid)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    _wait_gone(workers)
    finished = {p.name: p.stat().st_mtime_ns for p in folder.glob("privileged-*.json")}
    assert 3 <= len(finished) < len(plan.shards) and not (folder / "manifest.json").exists()

    subprocess.run(command, check=True, capture_output=True, timeout=CEILING_S)
    ref = stage.find_collection(plan, store)
    assert ref is not None and rows(ref) == undisturbed
    assert {name: (folder / name).stat().st_mtime_ns for name in finished} == finished
    assert not list(folder.glob(".tmp-*"))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    every = [
        int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()
    ]
    assert every, text
    return every


def _wait_gone(pids: list[int]) -> None:
    until(lambda: not any(map(_runs, pids)), "the workers end after their parent")


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False

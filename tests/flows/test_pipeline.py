"""The whole flow with the real Prefect: what is computed, and above all what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tad_core.config import parse_config as parse
from tests.waiting import until

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("forked")]
SHARDS = ["privileged-00000-00003", "privileged-00003-00006", "privileged-00006-00009"]


@pytest.fixture(scope="module")
def tree(
    make_tree: Callable[[Path], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return make_tree(tmp_path_factory.mktemp("pipeline") / "store")


@pytest.fixture(scope="module")
def first(tree: dict[str, Any], prefect_here: None) -> tuple[Any, dict[str, str]]:
    return run(tree)


def run(tree: dict[str, Any], **options: Any) -> tuple[Any, dict[str, str]]:
    """The outcome, and the state of every task run by its name."""
    from flows.pipeline import pipeline

    state = pipeline(parse(tree), return_state=True, **options)
    return state.result(), task_states(state.state_details.flow_run_id)


def task_states(flow_run_id: Any) -> dict[str, str]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    only, runs = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])), []
    with get_client(sync_client=True) as client:

        def final() -> bool:  # the server takes states in with a delay
            runs[:] = client.read_task_runs(flow_run_filter=only)
            return bool(runs) and all(r.state is not None and r.state.is_final() for r in runs)

        until(final, "every task run has its last state")
    return {r.name: str(r.state.name) for r in runs if r.state}


def written(tree: dict[str, Any]) -> dict[str, int]:
    """When each manifest and table of the store was written."""
    store = Path(tree["store"])
    return {
        str(f.relative_to(store)): f.stat().st_mtime_ns
        for f in store.rglob("*")
        if f.is_file() and not {"work", ".runs"} & set(f.parts)
    }


def stages_of(paths: set[str]) -> Counter[str]:
    return Counter(path.split("/")[0] for path in paths if path.endswith(".json") and "adapter" not in path)


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {path for path, when in after.items() if before.get(path) != when}


def test_every_stage_leaves_its_artifact_and_readable_names(first: tuple[Any, dict[str, str]]) -> None:
    outcome, states = first
    assert set(outcome.distilled) == {"quality"} and set(outcome.evaluated) == {"base", "quality"}
    assert "<html" in outcome.report.local("report.html").read_text()
    shards = {f"{stage} {name}" for stage in ("collect", "filter") for name in SHARDS}
    rest = {"collect all shards", "filter all shards", "calibrate windows", "distill quality", "report"}
    assert set(states) == shards | rest | {"evaluate base", "evaluate quality"}
    assert set(states.values()) == {"Completed"}


def test_artifacts_of_the_run_are_in_the_ui(first: tuple[Any, dict[str, str]]) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = {a.key: a for a in client.read_artifacts(limit=200)}
    assert {"collect-progress", "filter-progress", "kept", "points-base", "report"} <= set(found)
    assert "data:image/png;base64," in str(found["report"].data)
    assert "| solvable | privileged |" in str(found["kept"].data)


def test_again_nothing_is_computed_and_every_task_is_cached(
    tree: dict[str, Any], first: tuple[Any, dict[str, str]]
) -> None:
    before = written(tree)
    outcome, states = run(tree)
    assert written(tree) == before
    assert outcome == first[0]
    # Complete stages are one task each: no task a shard on the short way.
    assert set(states.values()) == {"Cached"} and len(states) == 7


def test_without_prefects_records_the_store_is_adopted(
    tree: dict[str, Any], first: tuple[Any, dict[str, str]], tmp_path: Path
) -> None:
    from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings

    before = written(tree)
    with temporary_settings({PREFECT_RESULTS_LOCAL_STORAGE_PATH: tmp_path}):
        outcome, states = run(tree)
    assert written(tree) == before and outcome == first[0]
    assert set(states.values()) == {"Completed"}


def test_what_is_damaged_is_noticed_and_alone_computed_again(
    tree: dict[str, Any], first: tuple[Any, dict[str, str]]
) -> None:
    outcome = first[0]
    deleted, flipped = (outcome.collection.local(f"{name}.parquet") for name in SHARDS[:2])
    truncated = outcome.filtered.local(f"{SHARDS[2]}.verdicts.parquet")
    whole, before = {file: file.read_bytes() for file in (deleted, flipped, truncated)}, written(tree)
    deleted.unlink()
    bits = whole[flipped]
    flipped.write_bytes(bits[:200] + bytes([bits[200] ^ 1]) + bits[201:])
    truncated.write_bytes(whole[truncated][:-100])
    again, states = run(tree, until="filter")
    assert {file: file.read_bytes() for file in whole} == whole
    rewritten = {Path(path).name for path in changed(before, written(tree)) if path.endswith(".parquet")}
    assert rewritten == {file.name for file in whole}
    computed = {name for name, state in states.items() if state != "Cached"}
    assert computed == {f"collect {SHARDS[0]}", f"collect {SHARDS[1]}", f"filter {SHARDS[2]}"}
    assert again.filtered == outcome.filtered


def test_a_lost_manifest_of_a_closed_collection_decodes_nothing(
    tree: dict[str, Any], first: tuple[Any, dict[str, str]]
) -> None:
    outcome = first[0]
    lost = Path(outcome.collection.url, f"{SHARDS[0]}.json")
    tables = {path for path in written(tree) if path.endswith(".parquet")}
    lost.unlink()
    again, states = run(tree, until="collect")
    assert again.collection == outcome.collection and set(states) == {"collect all shards"}
    assert lost.exists()
    lost.write_text("{")
    Path(outcome.filtered.url, "manifest.json").unlink()
    again, states = run(tree, until="filter")
    assert again.filtered.digest == outcome.filtered.digest
    assert all(states[f"{stage} {name}"] == "Cached" for stage in ("collect", "filter") for name in SHARDS)
    assert {path for path in written(tree) if path.endswith(".parquet")} == tables


def test_another_learning_rate_changes_distillation_and_what_follows(
    tree: dict[str, Any], first: tuple[Any, dict[str, str]]
) -> None:
    before = written(tree)
    _, states = run({**tree, "distill": {**tree["distill"], "learning_rate": 2.0e-3}})
    new = changed(before, written(tree))
    assert set(stages_of(new)) == {"distill", "decode", "evaluate", "report"}
    computed = {name for name, state in states.items() if state == "Completed"}
    assert computed == {"distill quality", "evaluate quality", "report"}
    assert states["evaluate base"] == "Cached"


def test_force_computes_a_stage_again(tree: dict[str, Any], first: tuple[Any, dict[str, str]]) -> None:
    before = written(tree)
    _, states = run(tree, until="calibrate", force=["calibrate"])
    assert set(stages_of(changed(before, written(tree)))) == {"calibrate"}
    assert {name for name, state in states.items() if state != "Cached"} == {"calibrate windows"}


def test_status_sees_the_same(tree: dict[str, Any], first: tuple[Any, dict[str, str]]) -> None:
    from tad_core.artifacts import Store
    from tad_core.stages.status import pipeline_status

    config, store = parse(tree), Store(tree["store"])
    assert {entry.state for entry in pipeline_status(config, store)} == {"done"}
    adapter = first[0].distilled["quality"].local("adapter/adapter_model.safetensors")
    whole = adapter.read_bytes()
    adapter.write_bytes(whole[:-1])
    try:
        by_name = {(e.stage, e.name): e for e in pipeline_status(config, store)}
    finally:
        adapter.write_bytes(whole)
    assert by_name["distill", "quality"].state == "broken"
    assert "adapter_model.safetensors" in by_name["distill", "quality"].why
    assert by_name["evaluate", "quality"].state == "missing"
    assert by_name["evaluate", "base"].state == "done"
    other = pipeline_status(parse({**tree, "rollout": {**tree["rollout"], "seed": 9}}), store)
    assert {entry.state for entry in other if entry.stage != "evaluate"} == {"missing"}


def test_the_library_alone_makes_the_same_artifacts(
    tree: dict[str, Any], first: tuple[Any, dict[str, str]]
) -> None:
    from tad_core.artifacts import Store
    from tad_core.stages.pipeline import run_pipeline

    before = written(tree)
    assert run_pipeline(parse(tree), Store(tree["store"])) == first[0]
    assert written(tree) == before

"""Slices of evaluations: what each evaluation decodes of what others have decoded, and that it adds up to the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.manifest import Manifest
from tad_core.config import ModelConfig, parse_config
from tad_core.evaluation.records import read_records
from tad_core.progress import Progress
from tad_core.stages.evaluate import EXAMPLE, evaluate
from tad_core.workers.pool import Pool
from tests.tad_core.stages.test_evaluate import adapter_of

Run = Callable[..., ArtifactRef]
pytestmark = pytest.mark.usefixtures("forked_decoders")


@pytest.fixture
def tree(tiny_tree: dict[str, Any]) -> dict[str, Any]:
    """Five sums at one threshold, two at a time."""
    tiny_tree["evaluate"] = {
        **tiny_tree["evaluate"],
        "harness": "direct",
        "tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 5}],
        "thresholds": [0.5],
        "operating_threshold": 0.5,
        "slice_size": 2,
        "workers": 1,
    }
    return tiny_tree


def slices(store: Store) -> dict[Path, int]:
    """Every slice in the store and when it was written."""
    return {path: path.stat().st_mtime_ns for path in Path(store.root).glob("decode/*/*.json")}


def fresh(store: Store, before: dict[Path, int]) -> list[Manifest]:
    """The slices that were decoded since."""
    new = [path for path, stamp in slices(store).items() if before.get(path) != stamp]
    return [Manifest.model_validate_json(path.read_bytes()) for path in new]


def rows(ref: ArtifactRef) -> list[dict[str, Any]]:
    """The results, without what each run measures anew."""
    return [
        {k: v for k, v in vars(r).items() if k != "wall_s"}
        for r in read_records(ref.local("results.parquet"))
    ]


@pytest.fixture(scope="module")
def pool(tiny_checkpoint: Path) -> Iterator[Pool]:
    """One for all tests here, since a process takes seconds to begin."""
    with Pool(ModelConfig(path=str(tiny_checkpoint), device="cpu")) as made:
        yield made


@pytest.fixture
def run(pool: Pool) -> Run:
    """Evaluate the base model of a configuration."""

    def evaluated(tree: dict[str, Any], **more: Any) -> ArtifactRef:
        config = parse_config(tree)
        return evaluate(config, "base", None, Store(config.store), **{"pool": pool, **more})

    return evaluated


def test_every_range_of_every_way_is_a_slice(tree: dict[str, Any], run: Run) -> None:
    told: list[Progress] = []
    ref = run(tree, on_progress=told.append)
    store = Store(tree["store"])
    made = fresh(store, {})
    assert sorted(m.rows for m in made) == [1, 1, 2, 2, 2, 2]
    assert {m.info["task"] for m in made} == {"sums"} and not any(m.inputs for m in made)
    assert (told[0].done, told[0].total) == (0, 10), "the model is loaded: from here on its speed is known"
    assert (told[-1].done, told[-1].total, told[-1].unit) == (10, 10, "answers")
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert told[-1].figures["model"] == "base"
    walls = [r.wall_s for r in read_records(ref.local("results.parquet"))]
    assert len(walls) == 10 and min(walls) > 0


def test_answers_say_with_which_cache_they_were_decoded(tree: dict[str, Any], run: Run) -> None:
    exact, store = run(tree), Store(tree["store"])
    before = slices(store)
    tree["evaluate"]["decode"] |= {"cache": {"mode": "dual", "refresh_forwards": 3}}
    cached = run(tree)
    assert exact.manifest.info["mode"] == "exact"
    assert cached.manifest.info["mode"] == "dual cache, refresh block, 3 forwards"
    assert {m.info["mode"] for m in fresh(store, {})} == {"exact", cached.manifest.info["mode"]}
    assert {m.info["mode"] for m in fresh(store, before)} == {cached.manifest.info["mode"]}
    for one, other in zip(rows(exact), rows(cached), strict=True):
        assert one["full_forwards"] == one["forwards"] and one["computed"] % one["forwards"] == 0
        assert 0 < other["full_forwards"] < other["forwards"] and other["computed"] < one["computed"]


def test_a_new_threshold_decodes_that_alone(tree: dict[str, Any], run: Run) -> None:
    first = run(tree)
    store = Store(tree["store"])
    before = slices(store)
    tree["evaluate"]["thresholds"] = [0.5, 7.2]
    ref = run(tree)
    assert {m.info["spec"]["threshold"] for m in fresh(store, before)} == {7.2}
    assert ref.fingerprint != first.fingerprint
    assert rows(ref)[:10] == rows(first) and len(rows(ref)) == 15
    tree["store"] += "-alone"
    assert rows(run(tree)) == rows(ref)


def test_another_headline_or_verifier_decodes_nothing(tree: dict[str, Any], run: Run) -> None:
    tree["evaluate"]["thresholds"] = [0.5, 7.2]
    first = run(tree)
    store = Store(tree["store"])
    before = slices(store)
    tree["evaluate"]["operating_threshold"] = 7.2
    second = run(tree)
    tree["filter"] = {"extract": ["last_number"]}
    third = run(tree)
    assert fresh(store, before) == []
    assert len({ref.fingerprint for ref in (first, second, third)}) == 3
    assert rows(first) == rows(second)
    shown = [[d["threshold"] for d in ref.read_json(EXAMPLE)["decodings"]] for ref in (first, second)]
    assert shown == [[0.0, 0.5], [0.0, 7.2]]


def test_a_new_task_decodes_that_alone_and_a_task_by_another_name_nothing(
    tree: dict[str, Any], run: Run
) -> None:
    run(tree)
    store = Store(tree["store"])
    before = slices(store)
    tree["evaluate"]["tasks"][0]["name"] = "additions"
    assert {r["task"] for r in rows(run(tree))} == {"additions"}
    assert fresh(store, before) == []
    tree["evaluate"]["tasks"].append({"name": "funcs", "source": "pyfunc", "split": "heldout", "count": 1})
    run(tree)
    assert {m.info["task"] for m in fresh(store, before)} == {"funcs"}


def test_a_damaged_slice_alone_is_decoded_again_and_finished_ones_keep_their_size(
    tree: dict[str, Any], run: Run
) -> None:
    first = run(tree)
    store = Store(tree["store"])
    (damaged, *_) = sorted(Path(store.root).glob("decode/*/*-00002-00004.*.parquet"))
    damaged.write_bytes(b"no parquet")
    Path(first.url, "manifest.json").unlink()
    before = slices(store)
    tree["evaluate"]["slice_size"] = 1
    assert rows(run(tree)) == rows(first)
    made = fresh(store, before)
    assert [m.rows for m in made] == [1, 1] and len(slices(store)) == len(before) + 2


def test_what_a_stopped_evaluation_had_decoded_is_not_decoded_again(tree: dict[str, Any], run: Run) -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tree, on_progress=stop, pool=None)
    store = Store(tree["store"])
    before = slices(store)
    assert 1 <= len(before) < 6
    ref = run(tree)
    assert len(fresh(store, before)) == 6 - len(before)
    tree["store"] += "-undisturbed"
    assert rows(run(tree)) == rows(ref)


def test_force_decodes_everything_again(tree: dict[str, Any], run: Run) -> None:
    run(tree)
    store = Store(tree["store"])
    before = slices(store)
    run(tree, force=True)
    assert len(fresh(store, before)) == 6


def test_another_try_of_a_forced_evaluation_takes_what_the_first_has_decoded(
    tree: dict[str, Any], run: Run
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 5:
            raise KeyboardInterrupt

    run(tree)
    store = Store(tree["store"])
    before = slices(store)
    begun: list[set[str]] = []
    with pytest.raises(KeyboardInterrupt):
        run(tree, on_progress=stop, pool=None, force=True, on_begun=lambda: begun.append(set(slices(store))))
    assert begun == [set()], "it is begun once nothing of before is left"
    first = fresh(store, before)
    assert 1 <= len(first) < 6 and len(slices(store)) == len(first), "none of before counts"
    again = slices(store)
    run(tree, force=True, go_on=True)
    assert len(fresh(store, again)) == 6 - len(first)


def test_a_model_has_slices_of_its_own_by_what_it_is_not_by_its_name(
    tree: dict[str, Any], run: Run, pool: Pool
) -> None:
    config = parse_config(tree)
    store = Store(config.store)
    run(tree)
    adapter = adapter_of(config, store)
    before = slices(store)
    tuned = evaluate(config, "quality", adapter, store, pool=pool)
    made = fresh(store, before)
    assert len(made) == 6 and {i.digest for m in made for i in m.inputs} == {adapter.digest}
    before = slices(store)
    same = evaluate(config, "speed", adapter, store, pool=pool)
    assert fresh(store, before) == []
    assert [r | {"model": ""} for r in rows(same)] == [r | {"model": ""} for r in rows(tuned)]

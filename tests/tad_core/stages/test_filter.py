"""Filtering on hand-made shards: counts that add up, resume shard by shard, order kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, parse_config
from tad_core.data.problem import Problem
from tad_core.errors import ArtifactError, DataError, VerifierError
from tad_core.progress import Progress
from tad_core.stages import filter as stage
from tad_core.stages.kept import kept_files
from tad_core.training.dataset import load_kept
from tad_core.trajectory.schema import Trajectory
from tad_core.trajectory.shards import read_verdicts, write_verdicts
from tad_core.verify import Judgement, TierReport, Verdict, Verifier

ANSWERS = {f"p{i}": str(10 + i) for i in range(6)}


@dataclass
class FakePlan:
    fingerprint: str = "c" * 32
    problems: dict[str, Problem] = field(
        default_factory=lambda: {
            name: Problem(name, "even" if int(name[1:]) % 2 == 0 else "odd", "math", "?", "ref", answer)
            for name, answer in ANSWERS.items()
        }
    )


class FakeVerifier:
    """Right when the text is the answer; says so of what it opened and judged."""

    tier = TierReport(1, "tier 1: bubblewrap")
    opened = 0
    judged: list[str]

    def __init__(self, config: object) -> None:
        del config

    def __enter__(self) -> FakeVerifier:
        type(self).opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def judge(
        self, problems: Sequence[Problem], texts: Sequence[str], on_progress: Callable[[int, int], None]
    ) -> list[Judgement]:
        type(self).judged += [p.id for p in problems]
        on_progress(len(texts), len(texts))
        return [self._one(p, t) for p, t in zip(problems, texts, strict=True)]

    def _one(self, problem: Problem, text: str) -> Judgement:
        if text == "broken":
            return Judgement(Verdict.INFRASTRUCTURE, "the worker died", "")
        if text == "own class":
            return Judgement(Verdict.PASSED, "passed at lower trust: its own classes decided", text)
        if not text:
            return Judgement(Verdict.NO_ANSWER, "no number in the text", "")
        if text == problem.answer:
            return Judgement(Verdict.PASSED, f"equals {text}", text)
        return Judgement(Verdict.DIFFERENT, f"{text} is not {problem.answer}", text)


@pytest.fixture(autouse=True)
def verifier(monkeypatch: pytest.MonkeyPatch) -> type[FakeVerifier]:
    FakeVerifier.opened, FakeVerifier.judged = 0, []
    monkeypatch.setattr(stage, "Verifier", FakeVerifier)
    return FakeVerifier


def make_config(**rollout: Any) -> TADConfig:
    return parse_config(
        {
            "name": "test",
            "model": {"path": "nowhere"},
            "data": [{"name": "even", "source": "arithmetic", "count": 6}],
            "rollout": {"response_length": 4, "block_length": 2, **rollout},
            "distill": {"states_per_trajectory": 4},
            "evaluate": {
                "tasks": [{"name": "even", "source": "arithmetic", "count": 2}],
                "decode": {"block_length": 2},
            },
        }
    )


def row(problem_id: str, text: str, condition: str = "privileged", sample: int = 0) -> Trajectory:
    source = "even" if int(problem_id[1:]) % 2 == 0 else "odd"
    return Trajectory(
        problem_id, source, "math", sample, condition, [1], [1, 2], [5, 6, 7, 8], [1, 2, 3, 4], [0.5] * 4, 5,
        "exact", text,
    )  # fmt: skip


SHARDS = {
    "privileged-00000-00003": [row("p0", "10"), row("p1", "10"), row("p2", "12")],
    "privileged-00003-00006": [row("p3", "13"), row("p4", ""), row("p5", "15")],
    "plain-00000-00003": [row("p0", "9", "plain"), row("p1", "11", "plain"), row("p2", "", "plain")],
}


def collect(
    store: Store, shards: dict[str, list[Trajectory]] = SHARDS
) -> tuple[ArtifactRef, list[ArtifactRef]]:
    from tad_core.trajectory.shards import write_trajectories

    fingerprint = FakePlan().fingerprint
    refs = []
    for name, rows in shards.items():
        with store.writer("collect", 1, fingerprint, {}, [], f"{name}.json") as writer:
            write_trajectories(writer.path(f"{name}.parquet", rows=len(rows)), rows)
            refs.append(writer.commit())
    info = {
        "shards": [{"name": n, "condition": r[0].condition, "rows": len(r)} for n, r in shards.items()],
    }
    with store.writer("collect", 1, fingerprint, {}) as writer:
        for ref in refs:
            writer.keep(ref.manifest.files)
        return writer.commit(info), refs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_summary_counts_every_trajectory_once(store: Store) -> None:
    collection, _ = collect(store)

    summary = stage.read_summary(stage.filter_all(make_config(), FakePlan(), collection, store))

    assert summary["rows"] == 9
    assert summary["kept"] == 4  # p0, p2, p3, p5: plain p1 passed and is not trained on
    assert summary["tier"] == {"no programs were run": 9}
    assert summary["by_source"] == [
        {"source": "even", "condition": "plain", "total": 2, "kept": 0, "lower_trust": 0,
         "rejected": {"different": 1, "no_answer": 1}},
        {"source": "even", "condition": "privileged", "total": 3, "kept": 2, "lower_trust": 0,
         "rejected": {"no_answer": 1}},
        {"source": "odd", "condition": "plain", "total": 1, "kept": 1, "lower_trust": 0, "rejected": {}},
        {"source": "odd", "condition": "privileged", "total": 3, "kept": 2, "lower_trust": 0,
         "rejected": {"different": 1}},
    ]  # fmt: skip
    for entry in summary["by_source"]:
        assert entry["total"] == entry["kept"] + sum(entry["rejected"].values())


def test_kept_trajectories_come_in_the_order_of_the_collection(store: Store) -> None:
    collection, _ = collect(store)
    filtered = stage.filter_all(make_config(), FakePlan(), collection, store)

    kept = load_kept(*kept_files(collection, filtered), length=4)

    assert list(kept.names) == ["p0/0", "p2/0", "p3/0", "p5/0"]


def test_one_verifier_serves_all_shards_and_none_is_opened_for_nothing(
    store: Store, verifier: type[FakeVerifier]
) -> None:
    collection, _ = collect(store)

    first = stage.filter_all(make_config(), FakePlan(), collection, store)
    second = stage.filter_all(make_config(), FakePlan(), collection, store)

    assert verifier.opened == 1
    assert len(verifier.judged) == 9
    assert second == first


def test_a_deleted_verdict_file_alone_is_judged_again(store: Store, verifier: type[FakeVerifier]) -> None:
    collection, _ = collect(store)
    before = stage.filter_all(make_config(), FakePlan(), collection, store)
    before.local("privileged-00003-00006.verdicts.parquet").unlink()
    verifier.judged = []

    after = stage.filter_all(make_config(), FakePlan(), collection, store)

    assert verifier.judged == ["p3", "p4", "p5"]
    assert after.digest == before.digest


def test_a_flipped_byte_is_noticed(store: Store, verifier: type[FakeVerifier]) -> None:
    collection, _ = collect(store)
    before = stage.filter_all(make_config(), FakePlan(), collection, store)
    file = before.local("plain-00000-00003.verdicts.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    verifier.judged = []

    stage.filter_all(make_config(), FakePlan(), collection, store)

    assert verifier.judged == ["p0", "p1", "p2"]


def test_shards_judged_one_by_one_give_the_same_result(tmp_path: Path) -> None:
    config, plan = make_config(), FakePlan()
    together = Store(tmp_path / "together")
    apart = Store(tmp_path / "apart")
    one = stage.filter_all(config, plan, collect(together)[0], together)
    collection, shard_refs = collect(apart)

    refs = [stage.filter_shard(config, plan, shard, apart) for shard in shard_refs]
    two = stage.finish_filter(config, plan, collection, refs, apart)

    assert two.digest == one.digest


def test_verdict_rows_follow_the_shard(store: Store) -> None:
    _, shard_refs = collect(store)
    ref = stage.filter_shard(make_config(), FakePlan(), shard_refs[0], store)

    rows = read_verdicts(ref.local("privileged-00000-00003.verdicts.parquet"))

    assert [(r["problem_id"], r["verdict"], r["extracted"]) for r in rows] == [
        ("p0", "passed", "10"),
        ("p1", "different", "10"),
        ("p2", "passed", "12"),
    ]
    assert ref.manifest.info["tier"] == "no programs were run"
    assert (ref.manifest.info["kept"], ref.manifest.info["privileged"]) == (2, 3)


def test_a_failure_of_the_verifier_is_an_error_and_leaves_no_verdicts(store: Store) -> None:
    collection, _ = collect(store, {"privileged-00000-00002": [row("p0", "10"), row("p1", "broken")]})

    with pytest.raises(VerifierError, match=r"failed on 1 of 2 texts.*'p1'.*worker died"):
        stage.filter_all(make_config(), FakePlan(), collection, store)

    assert (
        store.state("filter", stage.key(make_config(), FakePlan()), "privileged-00000-00002.json")[0]
        == "missing"
    )


def test_too_few_kept_stops_the_run_and_says_why(store: Store) -> None:
    collection, _ = collect(store)

    with pytest.raises(DataError, match=r"rollout.min_kept: 4 of 6 .* 5 are needed .*no_answer 1"):
        stage.filter_all(make_config(min_kept=5), FakePlan(), collection, store)


def test_where_nothing_was_kept_a_lower_bound_is_no_remedy() -> None:
    entry = {"condition": "privileged", "total": 6, "rejected": {"different": 6}}
    for kept, told in ((0, r"give other problems, or a model that"), (2, r"give more problems, or lower")):
        with pytest.raises(DataError, match=told) as refused:
            stage._check_kept(make_config(min_kept=3), {"kept": kept, "by_source": [entry]})
        assert ("lower" in str(refused.value)) is (kept > 0)


def test_a_finished_summary_is_held_against_a_raised_min_kept(store: Store) -> None:
    collection, _ = collect(store)
    stage.filter_all(make_config(min_kept=4), FakePlan(), collection, store)

    with pytest.raises(DataError, match=r"rollout.min_kept"):
        stage.filter_all(make_config(min_kept=5), FakePlan(), collection, store)


def test_an_unknown_problem_is_refused(store: Store) -> None:
    plan = FakePlan()
    del plan.problems["p1"]
    _, shard_refs = collect(store)

    with pytest.raises(DataError, match=r"'p1'.*5 problems"):
        stage.filter_shard(make_config(), plan, shard_refs[0], store)


def test_verdicts_of_other_rows_are_refused(store: Store) -> None:
    collection, _ = collect(store)
    filtered = stage.filter_all(make_config(), FakePlan(), collection, store)
    file = filtered.local("privileged-00000-00003.verdicts.parquet")
    rows = read_verdicts(file)
    write_verdicts(file, [rows[1], rows[0], rows[2]])

    with pytest.raises(ArtifactError, match=r"privileged-00000-00003.verdicts.*row by row"):
        load_kept(*kept_files(collection, filtered), length=4)


def test_a_missing_shard_of_verdicts_is_refused(store: Store) -> None:
    collection, shard_refs = collect(store)
    refs = [stage.filter_shard(make_config(), FakePlan(), shard, store) for shard in shard_refs[:2]]

    with pytest.raises(ArtifactError, match=r"plain-00000-00003 is not judged"):
        stage.finish_filter(make_config(), FakePlan(), collection, refs, store)


def test_key_knows_the_settings_and_not_the_workers() -> None:
    plan = FakePlan()
    base = make_config()
    workers = base.model_copy(update={"filter": base.filter.model_copy(update={"workers": 7})})
    timeout = base.model_copy(update={"filter": base.filter.model_copy(update={"code_timeout_s": 3.0})})

    assert stage.key(workers, plan) == stage.key(base, plan)
    assert stage.key(timeout, plan) != stage.key(base, plan)
    assert stage.key(base, FakePlan(fingerprint="d" * 32)) != stage.key(base, plan)


def test_progress_ends_at_the_total_with_the_share_kept(store: Store) -> None:
    collection, _ = collect(store)
    seen: list[Progress] = []

    stage.filter_all(make_config(), FakePlan(), collection, store, seen.append)

    assert [(p.done, p.total) for p in seen] == [(3, 9), (6, 9), (9, 9)]
    assert seen[-1].figures == {"kept %": 66.7}


def test_programs_bring_the_sandbox_tier_and_the_trust_of_each_pass(store: Store) -> None:
    rows = [replace(row("p0", "own class"), kind="code"), row("p1", "11")]
    collection, _ = collect(store, {"privileged-00000-00002": rows})

    summary = stage.read_summary(stage.filter_all(make_config(), FakePlan(), collection, store))

    assert summary["tier"] == {"tier 1: bubblewrap": 2}
    assert [(e["source"], e["kept"], e["lower_trust"]) for e in summary["by_source"]] == [
        ("even", 1, 1),
        ("odd", 1, 0),
    ]


def test_the_real_verifier_judges_a_shard(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "Verifier", Verifier)
    texts = ["6 + 4 = 10, the answer is \\boxed{10}", "The answer is 12.", "no idea"]
    rows = [row(f"p{i}", text) for i, text in enumerate(texts)]
    _, (shard,) = collect(store, {"privileged-00000-00003": rows})

    ref = stage.filter_shard(make_config(), FakePlan(), shard, store)

    verdicts = read_verdicts(ref.local("privileged-00000-00003.verdicts.parquet"))
    assert [(v["verdict"], v["extracted"]) for v in verdicts] == [
        ("passed", "10"),
        ("different", "12"),
        ("no_answer", ""),
    ]

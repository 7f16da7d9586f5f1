"""Further rounds in a study: what comes after what, what is counted and said of them, and the jobs that make them."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, parse_config, variants
from tad_core.errors import ConfigError, SubprocessError
from tad_core.report.lineup import Lineup
from tad_core.stages import collect as collect_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages.collect import collect, help_collect, plan_collection
from tad_core.stages.rounds import Round, RoundMade
from tad_core.stages.sharing import Shares
from tad_core.study.config import Study, StudyConfig, expanded
from tad_core.study.costs import Cost, costs_of
from tad_core.study.measure import Bench
from tad_core.study.outlook import outlook
from tad_core.study.parts import Part, Trajectories, processes_of
from tad_core.study.report import Page
from tad_core.study.results import StudyResults, results_of
from tad_core.study.run import Made, Matrix
from tad_core.study.schedule import Measuring, Merging, NextRound, Rolling, Task, Training
from tad_core.study.sentences import findings
from tad_core.study.stage import conclude, inputs_of
from tad_core.study.tables import Tables
from tad_core.workers import process
from tad_core.workers.jobs import ShardJob, StageJob
from tad_core.workers.pool import Pool
from tests.tad_core.stages.test_evaluate import adapter_of

NOTHING: Any = SimpleNamespace()


@pytest.fixture
def chain(tiny_tree: dict[str, Any]) -> Study:
    """Rounds of ``tad``, of which one learns from rollouts without the reference, one of ``again``, and no round."""
    own = {"trajectories": "plain", "answers": "any"}
    matrix = {
        "name": "rounds",
        "config": "run.yaml",
        "states": 4,
        "seeds": [0, 1],
        "side_by_side": 2,
        "variants": {
            "tad": {"window": 4, "label": "TAD"},
            "again": {"window": 4, "round": "tad", "label": "Again"},
            "own": {"window": 4, "round": "tad", "settings": own},
            "last": {"window": 4, "round": {"of": "again"}, "label": "Last"},
            "refs": {"objective": "sft"},
        },
        "decoders": {"tokenwise": {"method": "token_by_token"}, "fast": {"thresholds": [0.5]}},
    }
    return expanded(StudyConfig.model_validate(matrix), tiny_tree)


# --- what comes after what ------------------------------------------------------------------------------


def matrix_of(study: Study, store: Store) -> Matrix:
    return Matrix(study, store, Trajectories(NOTHING, NOTHING, NOTHING), Bench(study, store))


def test_each_seed_has_rounds_of_its_own_behind_the_training_they_begin_from(
    chain: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Part, "find_adapter", lambda part, name, store: None)
    schedule = matrix_of(chain, store).look()
    # Of each seed four trainings beside each other or behind each other, of five models, and two rounds.
    assert schedule.total == 1 + 2 * (5 + 5 + 2)
    told: list[Task] = []
    for task in schedule.todo():
        assert task is not None, "one at a time, nothing is waited for"
        told.append(task)
        schedule.end(task, well=True)
    first = [task for task in told if getattr(task, "seed", None) == 0]
    assert first == [
        Training(0, ("tad",)),
        Measuring("tad", 0),
        NextRound(0, "tad"),
        Training(0, ("again",), "tad"),
        Measuring("again", 0),
        NextRound(0, "again"),
        Training(0, ("own",), "tad"),
        Measuring("own", 0),
        Training(0, ("last",), "again"),
        Measuring("last", 0),
        Training(0, ("refs",)),
        Measuring("refs", 0),
    ]
    assert told.index(Training(1, ("tad",))) > told.index(Measuring("last", 0)), (
        "what was begun is ended first"
    )


def test_several_processes_roll_out_a_round_where_hands_are_many(
    chain: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Part, "find_adapter", lambda part, name, store: None)
    many = replace(chain, config=chain.config.model_copy(update={"side_by_side": 9}))
    # Four hands a seed; three shards with the reference, and as many without where a variant trains on those.
    assert [processes_of(many, own) for own in rounds_stage.rounds(many.run)] == [4, 3]
    matrix = matrix_of(many, store)
    assert matrix.look().total == 1 + 2 * (5 + 5 + (1 + 4 + 1) + (1 + 3 + 1))
    beside = [Rolling(0, "again", place, 3) for place in range(3)]
    assert matrix._after[Merging(0, "again")] == beside
    assert all(matrix._after[rolling] == [NextRound(0, "again")] for rolling in beside)
    assert beside[2].told == "roll out by again (seed 0), process 3 of 3"


def test_a_round_that_is_there_and_has_more_to_train_is_looked_through_again(
    chain: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run does: what is found is held against today's settings before anything is trained on it."""
    there = {"tad", "own"}
    monkeypatch.setattr(Part, "find_adapter", lambda part, name, store: NOTHING if name in there else None)
    rounds_there(chain, monkeypatch)
    matrix = matrix_of(chain, store)
    ready = list(matrix.look()._ready)
    assert ready == [
        NextRound(0, "tad"), Training(0, ("refs",)), NextRound(1, "tad"), Training(1, ("refs",)),
    ]  # fmt: skip
    assert set(matrix.made.rounds) == {("tad", 0), ("tad", 1)}
    assert set(matrix.made.adapters) == {(name, seed) for name in there for seed in (0, 1)}
    behind = matrix.look()._after[NextRound(0, "tad")]
    assert behind == [Training(0, ("again",), "tad")], "one that is trained is not trained again"


def test_a_round_whose_curve_gives_no_window_fails_alone(
    chain: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(part: Part, name: str, store: Store) -> Any:
        if name == "last":
            raise ConfigError("models.last.window.threshold: the student's confidence never falls below 0.1")
        return NOTHING

    monkeypatch.setattr(Part, "find_adapter", find)
    rounds_there(chain, monkeypatch)
    matrix = matrix_of(chain, store)
    assert list(matrix.look()._ready) == [NextRound(0, "again"), NextRound(1, "again")]
    assert ("own", 1) in matrix.made.adapters and ("last", 1) not in matrix.made.adapters


def rounds_there(chain: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round has its trajectories, and what is trained is measured."""
    monkeypatch.setattr(Bench, "finished", lambda bench, model, adapter: dict.fromkeys(chain.specs, NOTHING))

    def find(run: TADConfig, own: Round, before: Part, adapter: ArtifactRef, store: Store) -> Any:
        config = rounds_stage.round_of(run, own, SimpleNamespace(local_folder=lambda _: run.model.path))  # type: ignore[arg-type]
        part = Part(config, Trajectories(NOTHING, NOTHING, NOTHING))
        return part, RoundMade(NOTHING, NOTHING, NOTHING, NOTHING)

    monkeypatch.setattr("tad_core.study.run.find_round", find)


def test_models_of_a_round_are_measured_on_its_weights(chain: Study, store: Store, tmp_path: Path) -> None:
    bench = Bench(chain, store)
    same = bench.on(chain.run)
    assert same.key("again", "fast", None) == bench.key("again", "fast", None)
    merged = rounds_stage.merge(chain.run, Round("tad", ("again",)), adapter_of(chain.run, store), store)
    inner = rounds_stage.round_of(chain.seeded(1), Round("tad", ("again",)), merged)
    other = bench.on(inner)
    assert other.base == inner.model and other.key("again", "fast", None) != bench.key("again", "fast", None)
    assert bench.base == chain.run.model and variants(inner)["again"].distill.seed == 1


# --- what is counted and said ---------------------------------------------------------------------------


def test_the_outlook_counts_rounds_by_hand(chain: Study, store: Store) -> None:
    found = outlook(chain, store)
    # Eight problems: the round of tad has all of them with the reference and without, that of again with it.
    assert (found.rounds, found.rollouts, found.rounds_there, found.passes) == (4, 2 * (16 + 8), 0, 10)
    lines = list(found.lines())
    assert "4 further rounds: 48 rollouts, judged, with windows of their own" in lines
    assert lines[-1] == "there: 0 of 4 rounds rolled out, 0 of 10 trained, 0 of 22 cells measured"


def summary(store: Store, name: str, privileged: tuple[int, int], plain: tuple[int, int]) -> ArtifactRef:
    """Of so many trajectories so many kept, with the reference and without."""
    parts = (("privileged", privileged), ("plain", plain))
    entries = [
        {"source": "s", "condition": c, "total": total, "kept": kept, "rejected": {}}
        for c, (total, kept) in parts
    ]
    rows = privileged[0] + plain[0]
    with store.writer("filter", 1, name.ljust(32, "0"), {}) as writer:
        writer.write_json(
            "summary.json", {"rows": rows, "kept": privileged[1], "tier": {}, "by_source": entries}
        )
        return writer.commit({})


@pytest.fixture
def rolled(chain: Study, store: Store, made: SimpleNamespace) -> Made:
    """A finished study: its cells, and the verdicts of its rounds, in which the second seed keeps more."""
    base = summary(store, "b", (8, 6), (0, 0))
    found = Made(Trajectories(base, base, base), {}, made.cells(store, list(chain.config.variants)))
    for seed in (0, 1):
        for of, plain in (("tad", (8, 2)), ("again", (0, 0))):
            ref = summary(store, f"{of[0]}{seed}", (8, 4 + 2 * seed), plain)
            found.rounds[of, seed] = RoundMade(NOTHING, NOTHING, ref, NOTHING)
    return found


def test_what_a_round_cost_by_hand(chain: Study, rolled: Made) -> None:
    assert costs_of(chain, rolled) == [
        Cost(variant="tad", round_of=None, rolled_out=[8, 8], trained_on=[6, 6], states=4),
        Cost(variant="again", round_of="tad", rolled_out=[16, 16], trained_on=[4, 6], states=4),
        Cost(variant="own", round_of="tad", rolled_out=[16, 16], trained_on=[8, 8], states=4),
        Cost(variant="last", round_of="again", rolled_out=[8, 8], trained_on=[4, 6], states=4),
        Cost(variant="refs", round_of=None, rolled_out=[0, 0], trained_on=[0, 0], states=4),
    ]
    del rolled.rounds["again", 1]
    assert "last" not in {cost.variant for cost in costs_of(chain, rolled)}, "some seed lacks its round"


def test_a_study_without_rounds_has_no_costs(study: Study) -> None:
    assert costs_of(study, Made(Trajectories(NOTHING, NOTHING, NOTHING))) == []  # not even read


def test_tables_and_sentences_have_what_was_spent_before(chain: Study, store: Store, rolled: Made) -> None:
    results = results_of(chain, rolled.cells, costs_of(chain, rolled))
    lineup = Lineup.of(chain.run)
    table = Tables(chain, results, lineup).costs()
    assert table is not None
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["TAD", "Base", "8", "6", "4", "8", "4"],
        ["Again", "TAD", "16", "5", "4", "24", "8"],
        ["own", "TAD", "16", "8", "4", "24", "8"],
        ["Last", "Again", "8", "5", "4", "32", "12"],
        ["refs", "Base", "0", "0", "4", "0", "4"],
    ]
    said = [finding.text for finding in findings(chain, results, lineup) if finding.kind == "caution"]
    assert said[2] == (
        "Last goes on from Again: it is trained on 4 states after 8, and for each seed 8 trajectories were rolled out "
        "after the 24 that came before. Held against a variant of fewer rounds it is not at equal cost."
    )
    page = Page(chain, results, {"by_source": [], "rows": 8, "kept": 6, "tier": {}}).compose()
    reading = " ".join(next(section for section in page.sections if section.title == "How to read this").text)
    assert "saw the same trajectories, budget" not in reading and "those of further rounds" in reading
    assert ("Training", "4 states a variant and round, 1 steps") in page.facts


def test_without_rounds_nothing_is_said_of_them(study: Study, store: Store, made: SimpleNamespace) -> None:
    results: StudyResults = results_of(study, made.cells(store))
    assert Tables(study, results, Lineup.of(study.run)).costs() is None
    assert not any(
        "goes on from" in finding.text for finding in findings(study, results, Lineup.of(study.run))
    )


def test_results_are_made_of_the_verdicts_of_rounds_too(chain: Study, store: Store, rolled: Made) -> None:
    ref = conclude(chain, rolled, store)
    stages = [given.stage for given in ref.manifest.inputs]
    assert stages.count("filter") == 5 and len(stages) == len(rolled.cells) + 5
    without = Made(rolled.trajectories, {}, rolled.cells)
    assert len(inputs_of(without)) == len(rolled.cells), "a study without rounds is under the key it had"


# --- the jobs -------------------------------------------------------------------------------------------


def test_a_worker_merges_what_the_stage_merges(tiny_tree: dict[str, Any]) -> None:
    config = parse_config(
        {**tiny_tree, "models": {"one": {"window": 4}, "two": {"window": 4, "round": "one"}}}
    )
    store = Store(config.store)
    adapter = adapter_of(config, store)
    job = StageJob("merge", config, store, [adapter], 1, "one")
    sent = json.loads(json.dumps(job.message()))
    held = process.Held({"slot": 0})
    made = job.result(process._DO[sent["do"]](sent, held, process._Reporter(io.StringIO(), torch)))
    assert made == rounds_stage.find(config, adapter, store)
    died = job.death(-9, " of GPU 1", "last words")
    assert str(died).startswith("merge: its process of GPU 1 ended with code -9") and "last words" in str(
        died
    )


def test_who_helps_takes_what_nobody_has_in_hand_and_leaves_the_rest(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = Store(tiny_config.store), plan_collection(tiny_config)
    asked: list[str] = []

    def run(pool: Pool, job: ShardJob) -> ArtifactRef:
        asked.append(job.name)
        with store.writer("collect", 1, plan.fingerprint, {}, manifest_name=f"{job.name}.json") as writer:
            writer.write_text(f"{job.name}.parquet", "rows")
            return writer.commit({"condition": "privileged", "compared": 0})

    monkeypatch.setattr(Pool, "run", run)
    first, second, third = (shard.name for shard in plan.shards)
    with Shares(plan, store, 60) as others:
        assert (shard := others.next()) is not None and shard.name == first
        help_collect(tiny_config, store, Pool(tiny_config.model), 0.7)
        assert asked == [third, second], "from its own place on"
    help_collect(tiny_config, store, Pool(tiny_config.model))
    assert asked == [third, second, first]


def test_who_stops_does_not_wait_for_what_others_have_in_hand(tiny_config: TADConfig) -> None:
    """Shards that another process rolls out are waited for, but not once nothing can be done here any more."""
    rollout = tiny_config.rollout.model_copy(update={"lease_s": 3600.0})
    config = tiny_config.model_copy(update={"rollout": rollout})
    store, pool = Store(config.store), Pool(config.model)
    plan = plan_collection(config, store)
    with Shares(plan, store, 3600) as others:
        while others.next() is not None:
            pass
        threading.Timer(0.5, pool.close).start()
        with pytest.raises(SubprocessError, match="the pool of workers is closed"):
            collect(config, store, pool=pool)
    assert collect_stage.find_collection(plan, store) is None

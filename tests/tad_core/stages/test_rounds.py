"""A further round in one run: from the merged model of the first to a report of both, found again, and what waits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, parse_config, variants
from tad_core.errors import ArtifactError, ConfigError
from tad_core.serving.sources import Hardware, sources_of
from tad_core.stages import distill, rounds
from tad_core.stages.calibrate import read_curve, windows_of
from tad_core.stages.export import export, find_model
from tad_core.stages.pipeline import prepare, run_pipeline
from tad_core.stages.rounds import Round
from tad_core.stages.status import pipeline_status
from tad_core.stages.texts import shards_of
from tad_core.stages.variants import passes
from tad_core.weights import shapes_of
from tests.tad_core.stages.test_evaluate import adapter_of
from tests.tad_core.stages.test_models_table import small

OWN = {"trajectories": "plain", "answers": "any", "near": "taught"}
TABLE: dict[str, Any] = {
    "one": {"window": 6},
    "again": {"round": "one", "window": "quality", "label": "Again"},
    "own": {"round": {"of": "one"}, "window": 4, "settings": OWN},
}


def run_of(tree: dict[str, Any], models: dict[str, Any], compared: list[str] | None = None) -> TADConfig:
    evaluate = {**tree["evaluate"], **({"models": compared} if compared else {})}
    return parse_config({**tree, "models": models, "evaluate": evaluate})


def test_rounds_come_after_what_they_begin_from(tiny_tree: dict[str, Any]) -> None:
    models = {"last": {"window": 2, "round": "again"}, **TABLE, "other": {"objective": "sft"}}
    config = run_of(tiny_tree, models)
    assert rounds.rounds(config) == [Round("one", ("again", "own")), Round("again", ("last",))]
    run = rounds.first(config)
    assert list(run.models) == ["one", "other"] and run.evaluate.models == ["base", "one", "other"]
    assert {name: v.round_of for name, v in variants(config).items() if v.round_of} == {
        "last": "again", "again": "one", "own": "one",
    }  # fmt: skip
    without = run_of(tiny_tree, models, compared=["base", "one", "again"])
    assert rounds.rounds(without) == [Round("one", ("again",))]
    assert rounds.first(run) is run and rounds.rounds(run) == []
    assert ["again"] in passes(without, ["one", "again"]), "not in one pass with the model it begins from"


@pytest.mark.parametrize(
    ("models", "sections", "message"),
    [
        ({"x": {"window": 4, "round": "y"}}, {}, r"models\.x\.round\.of: 'y' is no other model .* use one of none"),
        ({"x": {"window": 4, "round": "base"}, "y": {"window": 4}}, {}, "'base' is no other model .* use one of y"),
        ({"x": {"window": 4, "round": "x"}}, {}, "x is itself a round of x; one of the two has to come first"),
        ({"x": {"window": 4, "round": "y"}, "y": {"window": 4, "round": "x"}}, {}, "y is itself a round of x"),
        ({"x": {"window": 4, "round": "y"}, "y": {"objective": "d2f", "settings": {"mask_block": 4}}}, {},
         r"models\.x\.round\.of: y is trained to read block by block"),
        (TABLE, {"evaluate": {"models": ["base", "again"]}}, "again is a round of one, which is not among them; add"),
        (TABLE, {"rollout": {"decode_here": False}}, "rollout.decode_here: a round is rolled out by this machine"),
        ({"x": {"window": 4, "round": {"from": "y"}}}, {}, "from: unknown key"),
    ],
)  # fmt: skip
def test_what_is_no_round_is_refused(
    tiny_tree: dict[str, Any], models: dict[str, Any], sections: dict[str, Any], message: str
) -> None:
    for section, change in sections.items():
        tiny_tree[section] |= change
    with pytest.raises(ConfigError, match=message):
        parse_config({**tiny_tree, "models": models})


@pytest.fixture
def merged(tiny_tree: dict[str, Any]) -> tuple[TADConfig, Store, ArtifactRef, ArtifactRef]:
    """A run, its store, an adapter and the model that it is merged into."""
    config = run_of(tiny_tree, TABLE)
    store = Store(config.store)
    adapter = adapter_of(config, store)
    return config, store, adapter, rounds.merge(config, Round("one", ("again", "own")), adapter, store)


def test_a_round_is_a_run_on_merged_weights(
    merged: tuple[TADConfig, Store, ArtifactRef, ArtifactRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, store, adapter, ref = merged
    assert ref.stage == "merge" and ref.manifest.inputs[0].fingerprint == adapter.fingerprint
    monkeypatch.setattr("tad_core.models.export.export_merged", lambda *_, **__: pytest.fail("merged again"))
    own = Round("one", ("again", "own"))
    assert rounds.merge(config, own, adapter, store) == ref == rounds.find(config, adapter, store)
    inner = rounds.round_of(config, own, ref)
    assert parse_config(inner.model_dump(mode="json")) == inner, "worker processes read it"
    assert list(inner.models) == inner.evaluate.models == ["again", "own"]
    assert all(v.round_of is None for v in variants(inner).values()) and rounds.rounds(inner) == []
    assert inner.rollout.compare_plain == len(prepare(inner, store, "collect").ordered) == 8
    alone = rounds.round_of(config, Round("one", ("again",)), ref)
    assert alone.rollout.compare_plain == 0 and list(alone.models) == ["again"]
    from tad_core.checkpoint import check_model
    from tad_core.stages.collect import key

    assert shapes_of(check_model(inner.model)) == shapes_of(check_model(config.model))
    assert key(alone) == key(inner) != key(config), "another model's rollouts, however many are compared"
    other = adapter_of(config, store, 2, "b" * 32)
    assert rounds.key(config, other) != rounds.key(config, adapter)


def test_what_a_round_waits_for_is_told(tiny_tree: dict[str, Any]) -> None:
    config = run_of(tiny_tree, TABLE)
    entries = [e for e in pipeline_status(config, Store(config.store)) if not e.is_shard]
    seen = {(e.stage, e.name): e.why for e in entries}
    of_the_round = [("distill", "one, merged"), ("distill", "again"), ("distill", "own")]
    assert [(e.stage, e.name) for e in entries if e.part == "round of one"] == of_the_round
    assert seen["distill", "one, merged"] == "waits for distill one"
    assert seen["distill", "again"] == seen["distill", "own"] == "waits for one, merged"
    assert seen["evaluate", "again"] == "waits for distill again"
    with pytest.raises(ArtifactError, match="model one: this run has no finished collect"):
        find_model(config, "again", Store(config.store))


# --- one run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("rounds")
    config, store = small(root, TABLE), Store(root)
    return SimpleNamespace(config=config, store=store, outcome=run_pipeline(config, store))


@pytest.mark.slow
def test_both_rounds_come_to_one_report(run: SimpleNamespace) -> None:
    outcome = run.outcome
    assert list(outcome.evaluated) == ["base", "one", "again", "own"] and list(outcome.rounds) == ["one"]
    second = outcome.rounds["one"]
    assert second.collection.fingerprint != outcome.collection.fingerprint
    conditions = [shard["condition"] for shard in second.collection.manifest.info["shards"]]
    assert conditions == ["privileged", "plain"], "one of the two learns from rollouts without the reference"
    again = outcome.distilled["again"]
    assert [i.fingerprint for i in again.manifest.inputs] == [
        second.collection.fingerprint,
        second.filtered.fingerprint,
    ]
    window = windows_of(run.config, read_curve(second.windows))["again"]["window"]
    assert again.manifest.info["window"] == window
    text = outcome.report.local("report.md").read_text()
    assert "| Again |" in text and "Rollouts of one that passed" in text and "collect, round of one" in text
    seen = pipeline_status(run.config, run.store)
    assert {entry.state for entry in seen} == {"done"}
    parts = [(entry.stage, entry.name, entry.part) for entry in seen if not entry.is_shard]
    for stage, name in (("collect", "all shards"), ("calibrate", "windows")):
        assert [part for s, n, part in parts if (s, n) == (stage, name)] == ["", "round of one"]
    assert {shard.part for shard in shards_of(run.config, run.store)} == {"", "round of one"}


@pytest.mark.slow
def test_nothing_of_it_is_made_twice(run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "launch", lambda *_: pytest.fail("trained again"))
    assert run_pipeline(run.config, run.store) == run.outcome
    first = run_pipeline(rounds.first(run.config), run.store, until="evaluate")
    assert first.evaluated == {name: run.outcome.evaluated[name] for name in ("base", "one")}


@pytest.mark.slow
def test_a_model_of_a_round_goes_out_on_the_weights_it_was_trained_on(
    run: SimpleNamespace, tmp_path: Path
) -> None:
    (source,) = sources_of(["run.yaml:again"], Hardware("float32", "cpu", 1), lambda _: run.config)
    assert source.model.path == str(run.outcome.rounds["one"].merged.local_folder("model"))
    folder = export(run.config, "again", tmp_path / "out", run.store)
    assert (folder / "config.json").is_file()
    card = (folder / "README.md").read_text()
    assert f"into `{run.config.model.path}`, after that of `one`;" in card
    assert "| trajectories | 6 of one of the same run, which saw" in card, "and not the plain ones besides"
    assert "base: accuracy" in card and "one: accuracy" in card and "–" not in card

"""A table of models through every stage: keys, windows, passes, and a run of four variants."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.components import VERSIONS
from tad_core.config import TADConfig, load_config, parse_config, variants
from tad_core.config.objectives import OBJECTIVES
from tad_core.errors import ConfigError
from tad_core.stages import calibrate, distill, report
from tad_core.stages import variants as variants_stage
from tad_core.stages.distill import distill_together
from tad_core.stages.export import export
from tad_core.stages.made import RunMade
from tad_core.stages.pipeline import Outcome, run_pipeline, trained_models
from tad_core.stages.status import pipeline_status
from tad_core.stages.variants import check_windows, passes

ROOT = Path(__file__).resolve().parents[3]


class Ref(NamedTuple):
    """What keys read of an artifact."""

    fingerprint: str
    curve: dict[str, Any] | None = None

    def read_json(self, name: str) -> dict[str, Any]:
        assert name == "curve.json" and self.curve is not None
        return self.curve


def _ref(letter: str, curve: dict[str, Any] | None = None) -> ArtifactRef:
    return cast(ArtifactRef, Ref(letter * 32, curve))


#: Falls below 0.5 after 3 steps and below 0.35 after 5, never below 0.2.
SMOOTHED = [0.9, 0.7, 0.6, 0.45, 0.4, 0.3, 0.25, 0.25]
CURVE = {
    "smoothed": SMOOTHED,
    "count": [9] * 8,
    "quality": {"window": 3, "threshold": 0.5, "source": "calibrated"},
    "speed": {"window": 20, "threshold": 0.2, "source": "cap"},
}
COLLECTED, KEPT, WINDOWS = _ref("c"), _ref("f"), _ref("a", CURVE)


def demo(models: dict[str, Any] | None = None, *changes: str) -> TADConfig:
    config = load_config(ROOT / "configs" / "demo.yaml", changes)
    tree = config.model_dump(mode="json", exclude={"models"})
    if models is not None:
        del tree["evaluate"]["models"]
        tree["models"] = models
    return parse_config(tree)


def keys(config: TADConfig) -> dict[str, str]:
    return {name: distill.key(config, name, COLLECTED, KEPT, WINDOWS) for name in variants(config)}


def test_keys_of_a_configuration_without_a_table_are_those_from_before_there_was_one() -> None:
    config = demo(
        None, "calibrate.quality_window=5", "calibrate.speed_window=9", "distill.micro_batch_size=1"
    )
    found = {name: distill.key(config, name, COLLECTED, KEPT, None) for name in variants(config)}
    adapters = {name: cast(ArtifactRef, Ref(key)) for name, key in found.items()}
    points = {"base": _ref("b"), **{name: cast(ArtifactRef, Ref(key[::-1])) for name, key in found.items()}}
    found["calibrate"] = calibrate.key(config, COLLECTED, KEPT)
    found["report"] = report.key(config, RunMade(COLLECTED, KEPT, WINDOWS, adapters, points))
    assert {name: key[:16] for name, key in found.items()} == {
        "quality": "ee62877f5f72dbce",
        "speed": "8263403bb9d174de",
        "sft": "10f3098ac4eed36e",
        "calibrate": "032bf864e1876a12",
        "report": "c0dcdfd47c3f251a",  # of the third version of the page and the second of the scores
    }


def test_a_table_of_the_standard_models_has_the_same_adapters() -> None:
    assert keys(demo({"sft": {}, "quality": {}, "speed": {}})) == keys(demo())
    spelled = {"window": {"like": "quality"}, "objective": "tad", "settings": {"near": "hard"}}
    assert keys(demo({"quality": spelled}))["quality"] == keys(demo())["quality"]


def test_a_model_more_or_less_changes_nothing_of_the_others_and_looks_change_nothing_at_all() -> None:
    models: dict[str, Any] = {"quality": {}, "mid": {"window": {"threshold": 0.35}}, "four": {"window": 4}}
    found = keys(demo(models))
    for name in models:
        less = {n: m for n, m in models.items() if n != name}
        assert keys(demo(less)) == {n: key for n, key in found.items() if n != name}
        assert calibrate.key(demo(less), COLLECTED, KEPT) == calibrate.key(demo(models), COLLECTED, KEPT)
    shown = {name: {**model, "label": name.upper(), "colour": "#123456"} for name, model in models.items()}
    assert keys(demo(shown)) == found
    made = RunMade(COLLECTED, KEPT, WINDOWS, {}, {"base": _ref("b")})
    pages = {report.key(demo(m), made) for m in (models, shown)}
    assert len(pages) == 2


@pytest.mark.parametrize(
    "change",
    [{"window": 5}, {"window": 4, "settings": {"distant": "hard"}}, {"window": 4, "settings": {"seed": 1}}],
    ids=["window", "loss", "seed"],
)  # fmt: skip
def test_what_is_trained_otherwise_has_another_key(change: dict[str, Any]) -> None:
    assert keys(demo({"x": change}))["x"] != keys(demo({"x": {"window": 4}}))["x"]


def test_windows_are_read_from_the_finished_curve() -> None:
    config = demo({
        "quality": {}, "speed": {}, "mid": {"window": {"threshold": 0.35}}, "four": {"window": 4},
        "low": {"window": {"threshold": 0.1, "cap": 7}}, "none": {"window": {"threshold": 0.15}},
    })  # fmt: skip
    found = {name: (w["window"], w["source"]) for name, w in calibrate.windows_of(config, CURVE).items()}
    assert found == {
        "quality": (3, "calibrated"),
        "speed": (20, "cap"),
        "mid": (5, "calibrated"),
        "four": (4, "fixed"),
        "low": (7, "cap"),
    }
    assert (
        variants_stage.window_of(config, "mid", WINDOWS) == 5
        and variants_stage.window_of(config, "four", None) == 4
    )
    check_windows(config, ["quality", "mid", "four", "low"], WINDOWS)
    never = (
        r"models\.none\.window\.threshold: the student's confidence never falls below 0\.15 \(lowest: 0\.25\)"
    )
    with pytest.raises(ConfigError, match=never):
        check_windows(config, trained_models(config), WINDOWS)
    empty = _ref("a", {**CURVE, "count": [0] * 8})
    with pytest.raises(
        ConfigError, match=r"calibrate\.states: no masked position .* is text.* raise it, or set models"
    ):
        check_windows(config, ["mid"], empty)
    assert variants_stage.window_of(config, "low", empty) == 7
    with pytest.raises(
        ConfigError, match=r"models\.mid\.window\.threshold: no calibration is given to read it"
    ):
        variants_stage.window_of(config, "mid", None)


def test_models_with_the_same_states_teacher_and_optimizer_share_a_pass() -> None:
    models: dict[str, Any] = {
        "sft": {}, "quality": {}, "slow": {"window": 4, "settings": {"learning_rate": 1e-5}},
        "hard": {"window": "quality", "settings": {"near": "soft", "distant": "hard"}}, "speed": {},
        "few": {"window": 4, "settings": {"states_per_trajectory": 8}},
    }  # fmt: skip
    config = demo(models)
    assert passes(config, trained_models(config)) == [
        ["quality", "hard", "speed"],
        ["slow"],
        ["few"],
        ["sft"],
    ]
    apart = demo(models, "distill.launcher=torchrun", "distill.deepspeed=configs/deepspeed/zero2.json")
    assert passes(apart, trained_models(apart)) == [[name] for name in models]


def test_models_of_an_objective_without_a_window_share_a_pass_with_their_like() -> None:
    models: dict[str, Any] = {
        "quiet": {"objective": "t3d", "settings": {"t3d": {"alpha": 0.1}}}, "quality": {}, "t3d": {"objective": "t3d"},
        "sure": {"objective": "dparallel"}, "surer": {"objective": "dparallel", "settings": {"weight_certainty": 3}},
        "short": {"objective": "t3d", "settings": {"mask_block": 8}},
    }  # fmt: skip
    config = demo(models)
    assert passes(config, trained_models(config)) == [
        ["quality"],
        ["quiet", "t3d"],
        ["sure", "surer"],
        ["short"],
    ]
    assert keys(config)["quiet"] != keys(config)["t3d"]


def test_messages_offer_the_models_of_the_run_and_no_others() -> None:
    """The demo has no table of its own, and trains two of the three models that there are without one."""
    for config, offered in (
        (demo(), "quality, speed"),
        (demo({"x": {"objective": "sft"}, "y": {"window": 4}}), "x, y"),
    ):
        for ask in (
            lambda config=config: variants_stage.variant_of(config, "best"),
            lambda config=config: export(config, "best", Path("out"), Store(config.store)),
        ):
            with pytest.raises(ConfigError, match=f"'best' is not a distilled model; use one of {offered}$"):
                ask()


def test_labels_from_references_are_read_by_the_objective_that_has_them_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the setting is that of all models."""
    models = {"pseudo": {"objective": "d3llm"}, "quality": {}}
    own, referred = demo(models), demo(models, "distill.labels=reference")
    assert (
        keys(own)["quality"] == keys(referred)["quality"] and keys(own)["pseudo"] != keys(referred)["pseudo"]
    )
    before = keys(own), keys(referred)
    monkeypatch.setitem(VERSIONS, "references", VERSIONS["references"] + 1)
    assert keys(own) == before[0] and keys(referred)["pseudo"] != before[1]["pseudo"]


#: settings that only some objectives have, with another value than the default
OWN: dict[str, dict[str, Any]] = {
    "dparallel": {"mask_block": 8, "weight_certainty": 1.0},
    "d3llm": {
        "mask_ratio": 0.5,
        "mask_blocks": [8],
        "weight_certainty": 1.0,
        "labels": "reference",
        "complement_certainty": True,
    },
    "t3d": {
        "mask_block": 8,
        "t3d": {"alpha": 0.4, "beta": 0.2, "weight_path": 0.1, "path_steps": 2, "snapshot_steps": 5},
    },
    "d2f": {
        "mask_block": 8,
        "temperature": 2.0,
        "teacher_prompt": "plain",
        "d2f": {"rate_low": 0.3, "rate_high": 0.6},
    },
}


def test_each_setting_of_an_objective_is_part_of_its_key_and_of_no_others() -> None:
    for objective, settings in OWN.items():
        flat = [
            {name: {n: v}} if isinstance(value, dict) else {name: value}
            for name, value in settings.items()
            for n, v in (value.items() if isinstance(value, dict) else [("", None)])
        ]
        found = [keys(demo({"x": {"objective": objective, "settings": s}}))["x"] for s in ({}, *flat)]
        assert len(set(found)) == len(found), objective
        for other in OBJECTIVES:
            lacked = settings.keys() & OBJECTIVES[other].lacks
            for name in lacked:
                window = {"window": 4} if OBJECTIVES[other].windowed else {}
                models = {"x": {"objective": other, **window, "settings": {name: settings[name]}}}
                with pytest.raises(ConfigError, match=f"the {other} objective has no such setting"):
                    demo(models)


def test_what_an_objective_has_for_itself_is_lacked_by_all_that_do_not_name_it() -> None:
    named = [name for kind in OBJECTIVES.values() for name in kind.own]
    assert {"weight_certainty", "mask_block", "mask_blocks", "labels", "t3d", "d2f"} < set(named)
    for kind in OBJECTIVES.values():
        assert set(named) - kind.own <= kind.lacks and not kind.own & kind.lacks


def test_an_objective_without_a_window_under_a_name_of_its_own() -> None:
    """Fine-tuning under another name, and what trains on kept answers, which is made from verdicts too."""
    config = demo({"refs": {"objective": "sft", "settings": {"max_steps": 3}}})
    assert variants_stage.inputs_of(config, "refs", COLLECTED, KEPT) == [COLLECTED]
    for objective in (
        n for n, kind in OBJECTIVES.items() if kind.trains_on == "trajectories" and not kind.windowed
    ):
        kept = demo({"x": {"objective": objective}})
        assert variants_stage.inputs_of(kept, "x", COLLECTED, KEPT) == [COLLECTED, KEPT]
        assert distill.key(kept, "x", COLLECTED, KEPT, None) == distill.key(
            kept, "x", COLLECTED, KEPT, WINDOWS
        )
        assert calibrate.windows_of(kept, CURVE) == {}
    assert distill.key(config, "refs", COLLECTED, KEPT, None) != distill.key(
        demo(), "sft", COLLECTED, KEPT, None
    )


# --- one run ------------------------------------------------------------------------------------------

TABLE: dict[str, Any] = {
    "quality": {},
    "mid": {"window": {"threshold": 0.35, "cap": 12}, "label": "Middle", "colour": "#0a6b3c"},
    "six": {"window": 6, "label": "Six", "decode": {"method": "low_confidence", "thresholds": [2]}},
    "hard": {"window": 6, "label": "All hard", "settings": {"distant": "hard"}},
}


def small(store: Path, models: dict[str, Any]) -> TADConfig:
    """The shipped small base on a few easy problems."""
    problems = {"source": "arithmetic", "options": {"min_steps": 1, "max_steps": 2}}
    return parse_config({
        "name": "variants", "store": str(store),
        "model": {"path": str(ROOT / "assets" / "tiny-llada"), "device": "cpu", "threads": 1, "dtype": "float32"},
        "data": [{"name": "sums", "count": 6, **problems}],
        "rollout": {"response_length": 32, "block_length": 16, "workers": 1},
        "filter": {"workers": 1},
        "calibrate": {"states": 16},
        "distill": {
            "states_per_trajectory": 4, "max_steps": 2, "global_batch_size": 4, "micro_batch_size": 4,
            "learning_rate": 1e-3, "lora": {"rank": 2, "alpha": 2, "dropout": 0.0},
        },
        "models": models,
        "evaluate": {
            "tasks": [{"name": "held", "split": "heldout", "count": 3, **problems}],
            "thresholds": [0.5], "decode": {"block_length": 16}, "bootstrap": 20, "harness": "direct", "workers": 2,
        },
    })  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("variants")
    config, store = small(root, TABLE), Store(root)
    return SimpleNamespace(config=config, store=store, outcome=run_pipeline(config, store))


@pytest.mark.slow
def test_four_variants_go_from_collection_to_report(run: SimpleNamespace) -> None:
    outcome: Outcome = run.outcome
    assert list(outcome.evaluated) == ["base", *TABLE] and set(outcome.distilled) == set(TABLE)
    infos = {name: ref.manifest.info for name, ref in outcome.distilled.items()}
    assert {info["in_one_pass"] for info in infos.values()} == {4}
    assert (infos["six"]["window"], infos["hard"]["window"]) == (6, 6)
    assert outcome.report is not None
    text = outcome.report.local("report.md").read_text()
    page = outcome.report.local("report.html").read_text()
    for label in ("Quality", "Middle", "Six", "All hard"):
        assert f"| {label} |" in text and label in page
    assert "--model-mid: #0a6b3c" in page
    assert "Accuracy at its own %" in text and "Six low_confidence 2, All hard threshold 0.5." in text
    comparisons = {
        (c["model"], c["over"]) for c in outcome.report.read_json("scores.json")["tasks"][0]["comparisons"]
    }
    assert {("mid", "quality"), ("hard", "six"), ("six", "base")} <= comparisons and len(comparisons) == 10
    assert {entry.state for entry in pipeline_status(run.config, run.store)} == {"done"}


@pytest.mark.slow
def test_the_loss_of_each_is_its_own(run: SimpleNamespace) -> None:
    def lines(name: str) -> str:
        return str(run.outcome.distilled[name].local("losses.jsonl").read_text())

    def weights(name: str) -> bytes:
        return bytes(run.outcome.distilled[name].local("adapter/adapter_model.safetensors").read_bytes())

    assert lines("six") != lines("hard") and weights("six") != weights("hard")


@pytest.mark.slow
def test_a_variant_trained_in_company_is_what_it_is_alone(run: SimpleNamespace, tmp_path: Path) -> None:
    refs = run.outcome.collection, run.outcome.filtered, run.outcome.windows
    alone = distill_together(run.config, ["hard"], *refs, Store(tmp_path))["hard"]
    together, name = run.outcome.distilled["hard"], "adapter/adapter_model.safetensors"
    assert alone.fingerprint == together.fingerprint
    assert alone.local(name).read_bytes() == together.local(name).read_bytes()


@pytest.mark.slow
def test_without_one_of_them_nothing_is_computed_again_but_the_report(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "launch", lambda *_: pytest.fail("trained again"))
    config = small(Path(run.store.root), {name: model for name, model in TABLE.items() if name != "mid"})
    found = run_pipeline(config, run.store)
    assert found.windows == run.outcome.windows and found.report != run.outcome.report
    assert found.distilled == {n: ref for n, ref in run.outcome.distilled.items() if n != "mid"}
    assert found.evaluated == {n: ref for n, ref in run.outcome.evaluated.items() if n != "mid"}


@pytest.mark.slow
def test_a_variant_is_exported_under_its_label(run: SimpleNamespace, tmp_path: Path) -> None:
    folder = export(run.config, "hard", tmp_path / "out", run.store, adapter_only=True)
    card = (folder / "README.md").read_text()
    assert "(TAD), All hard: LoRA adapter for" in card
    assert "cross-entropy on tokens the teacher reveals within the window, cross-entropy beyond" in card
    with pytest.raises(
        ConfigError, match="--model: 'speed' is not a distilled model; use one of quality, mid, six, h"
    ):
        export(run.config, "speed", tmp_path / "other", run.store)

"""The run form: what it offers, and what comes of what is filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from flows.form import ROOT, absolute_store, changes, configured, presets
from flows.form_fields import FIRST, Partial, form_of
from tad_core.config import OBJECTIVES, TADConfig, load_config, variants
from tad_core.config.models import VariantConfig
from tad_core.errors import ConfigError

EVERYTHING = changes(*TADConfig.model_fields)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    from prefect.utilities.callables import parameter_schema

    import flows.deployed

    return parameter_schema(flows.deployed.pipeline).model_dump()


def test_every_shipped_configuration_is_a_choice_and_an_empty_form_is_the_preset(
    schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAD_STORE", raising=False)
    shipped = {
        file.stem
        for file in (ROOT / "configs").glob("*.yaml")
        if yaml.safe_load(file.read_text()).keys() & {"evaluate", "extends"}
    }
    assert {"demo", "tiny-llada", "llada-1.5"} <= shipped <= set(schema["properties"]["preset"]["enum"])
    assert schema["properties"]["preset"]["default"] == "demo"
    assert schema["properties"]["changes"]["default"] == {}
    for name in shipped:
        plain = load_config(presets()[name])
        assert configured(name, EVERYTHING(), []).model_dump(exclude={"store"}) == plain.model_dump(
            exclude={"store"}
        )


def test_fields_have_types_choices_bounds_descriptions_and_the_presets_values(schema: dict[str, Any]) -> None:
    rollout = schema["definitions"]["Rollout"]["properties"]
    assert rollout["samples"]["type"] == "integer"
    assert (rollout["samples"]["minimum"], rollout["samples"]["maximum"]) == (1, 64)
    assert rollout["samples"]["description"].startswith("Trajectories per problem. Preset: ")
    further = schema["definitions"]["RolloutFurther"]["properties"]
    number, word = further["batch_size"]["anyOf"]
    assert (number["type"], number["minimum"], word["const"]) == ("integer", 1, "auto")
    assert further["finish_early"]["enum"] == [True, False], "a switch could not be left empty"
    distill = schema["definitions"]["Distill"]["properties"]
    assert distill["schedule"]["enum"] == ["constant", "cosine", "linear"]
    assert distill["objective"]["enum"] == list(OBJECTIVES)
    assert distill["learning_rate"]["exclusiveMinimum"] == 0
    assert "44 (demo" in distill["max_steps"]["description"]
    assert distill["max_steps"]["type"] == "integer", (
        "optional in the configuration, a plain number in the form"
    )
    every = [p for d in schema["definitions"].values() for p in d.get("properties", {}).values()]
    assert not [p for p in every if "$ref" not in p and p.get("default") is not None], (
        "an empty field is unset"
    )
    assert all(p.get("description") for p in every)
    needed = {name: d["required"] for name, d in schema["definitions"].items() if "required" in d}
    assert needed == {
        "SourceFields": ["name", "source"],
        "TaskFields": ["name", "source"],
        "ModelFields": ["name"],
    }


def test_what_people_set_is_shown_and_the_rest_is_folded(schema: dict[str, Any]) -> None:
    definitions = schema["definitions"]
    folded = [{"title": "As in the preset", "type": "null"}]
    for path, first in FIRST.items():
        shown = definitions["".join(map(str.capitalize, path))]["properties"]
        # A database may give the fields back in any order.
        assert sorted(shown, key=lambda name: shown[name]["position"]) == [*first, "further"]
        assert shown["further"]["anyOf"][:1] == folded, "the UI opens the first"
    for name in ("filter", "calibrate"):
        assert definitions["Changes"]["properties"][name]["anyOf"][:1] == folded
    assert definitions["DistillFurther"]["properties"]["lora"]["anyOf"][:1] == folded
    assert {d["title"] for name, d in definitions.items() if name.endswith(("Further", "Lora"))} == {"Change"}


def test_no_setting_of_one_value_is_missing_from_the_form() -> None:
    """Only mappings have no field; they are for the overrides."""

    def settings(model: Any, path: str = "") -> dict[str, Any]:
        out = {}
        for name, info in model.model_fields.items():
            inner = [a for a in (info.annotation, *get_args(info.annotation)) if hasattr(a, "model_fields")]
            if inner and get_origin(info.annotation) not in (list, dict):
                out |= settings(inner[0], path if name == "further" else f"{path}{name}.")
            else:
                out[f"{path}{name}"] = info.annotation
        return out

    known, offered = settings(TADConfig), settings(EVERYTHING)
    assert set(offered) <= set(known)
    without = set(known) - set(offered)
    assert without == {"filter.extract_by_source"}
    assert all(get_origin(known[name]) is dict for name in without)


def test_models_are_a_choice_of_the_names_that_presets_have(tmp_path: Path) -> None:
    tree = {"models": {"near": {"window": 4}, "speed": None}}
    form = form_of({"evaluate": TADConfig.model_fields["evaluate"]}, {"ours": tree})
    shown = form.model_json_schema()["$defs"]["Evaluate"]["properties"]["models"]
    assert shown["items"] == {"enum": ["base", "sft", "quality", "speed", "near"], "type": "string"}
    with pytest.raises(ValueError, match="near"):
        form.model_validate({"evaluate": {"models": ["base", "far"]}})


def test_fields_come_on_top_of_the_preset_and_overrides_on_top_of_the_fields() -> None:
    filled = EVERYTHING.model_validate(
        {
            "rollout": {"seed": 3, "samples": 2, "further": {"finish_early": False}},
            "distill": {"further": {"lora": {"roles": ["q", "v"]}, "t3d": None}},
            "filter": None,
            "evaluate": {"further": None, "models": ["base", "speed"]},
        }
    )
    config = configured("demo", filled, ["rollout.samples=4", "data.0.count=7", "distill.max_steps=null"])
    assert (config.rollout.seed, config.rollout.samples, config.rollout.finish_early) == (3, 4, False)
    assert config.distill.lora.roles == ["q", "v"] and config.evaluate.models == ["base", "speed"]
    assert config.data[0].count == 7 and config.distill.max_steps is None
    assert config.rollout.shard_size == load_config(presets()["demo"]).rollout.shard_size


def test_sources_and_tasks_are_named_with_path_format_and_columns() -> None:
    own = {"name": "own", "source": "table", "path": "rows/*", "format": ".csv", "question": "task"}
    filled = EVERYTHING.model_validate(
        {
            "data": [{**own, "answer": "result", "options": ["id=key", "meta=[level]"]}],
            "evaluate": {
                "tasks": [
                    {**own, "split": "heldout", "heldout_share": 0.2},
                    {"name": "gsm8k", "source": "benchmark", "count": 5},
                ]
            },
        }
    )
    config = configured("demo", filled, ["data.0.options.kind=math"])
    common = {"path": "rows/*", "format": ".csv", "question": "task"}
    (source,) = config.data
    assert (source.name, source.source, source.count, source.split) == ("own", "table", None, "train")
    assert source.options == {**common, "answer": "result", "id": "key", "meta": ["level"], "kind": "math"}
    first, second = config.evaluate.tasks
    assert first.options == {**common, "heldout_share": 0.2} and first.split == "heldout"
    assert (second.source, second.count, second.options) == ("benchmark", 5, {})


def test_the_table_of_models_is_rows_of_an_objective_a_window_settings_and_looks() -> None:
    rows = [
        {"name": "quality"},
        {"name": "near", "window_threshold": 0.35, "window_cap": 12, "label": "Near", "colour": "#0a6b3c"},
        {
            "name": "eight",
            "window_steps": 8,
            "settings": ["distant=hard", "learning_rate=5e-4", "lora.rank=8"],
        },
        {"name": "refs", "objective": "sft", "colour": "#0a6b3c", "colour_dark": "#66ffd9"},
        {"name": "sure", "window_like": "speed", "decode": ["method=confidence", "thresholds=[0.9]"]},
        {"name": "again", "window_steps": 4, "round": "near"},
    ]
    config = configured("llada-8b", EVERYTHING.model_validate({"models": rows}), [])
    table = {name: given.model_dump(exclude_defaults=True) for name, given in config.models.items()}
    assert table == {
        "quality": {},
        "near": {
            "window": {"threshold": 0.35, "cap": 12},
            "label": "Near",
            "colour": {"light": "#0a6b3c", "dark": "#0a6b3c"},
        },
        "eight": {
            "window": {"steps": 8},
            "settings": {"distant": "hard", "learning_rate": 5e-4, "lora": {"rank": 8}},
        },
        "refs": {"objective": "sft", "colour": {"light": "#0a6b3c", "dark": "#66ffd9"}},
        "sure": {
            "window": {"like": "speed"},
            # its cache is the run's
            "decode": {"method": "confidence", "thresholds": [0.9], "cache": {"mode": "prefix"}},
        },
        "again": {"window": {"steps": 4}, "round": {"of": "near"}},
    }
    assert {name for given in table.values() for name in given} == set(VariantConfig.model_fields)
    trained = variants(config)
    assert trained["eight"].distill.lora.rank == 8
    assert trained["eight"].distill.lora.alpha == config.distill.lora.alpha, "the rest is as in distill"
    assert config.evaluate.models == ["base", "quality", "near", "eight", "refs", "sure", "again"], (
        "not the preset's choice"
    )
    some = {"models": [{"name": "quality"}, {"name": "speed"}], "evaluate": {"models": ["base", "speed"]}}
    chosen = configured("llada-8b", EVERYTHING.model_validate(some), [])
    assert chosen.evaluate.models == ["base", "speed"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"window_steps": 4, "window_like": "speed"}, "models.near.window.steps: steps and like given"),
        (
            {"settings": ["distant"]},
            "models.near.settings: 'distant' is not of the form name=value, e.g. distant=hard",
        ),
        (
            {"settings": ["lora=4", "lora.rank=8"]},
            "'lora.rank=8' is a field of lora, which has a value already",
        ),
        ({"settings": ["distent=hard"]}, "models.near.settings.distent: unknown key"),
        ({"colour_dark": "#66ffd9"}, "models.near.colour: missing beside colour_dark #66ffd9"),
        ({"name": "far"}, "models: 'far' is there twice"),
    ],
)
def test_a_row_of_the_table_that_is_wrong_is_one_message(row: dict[str, Any], message: str) -> None:
    filled = EVERYTHING.model_validate({"models": [{"name": "near", **row}, {"name": "far"}]})
    with pytest.raises(ConfigError, match=re.escape(message)):
        configured("demo", filled, [])


@pytest.mark.parametrize(
    ("preset", "filled", "overrides", "message"),
    [
        ("demo", {"rollout": {"block_length": 48}}, [], "rollout.block_length: 48 does not divide"),
        (
            "demo",
            {"data": [{"name": "own", "source": "jsonl", "options": ["id"]}]},
            [],
            "data source own: options: 'id' is not of the form name=value",
        ),
        (
            "demo",
            {"data": [{"name": "own", "source": "pyfunc", "count": 2}] * 2},
            [],
            "data: two sources have the same name",
        ),
        ("demo", {}, ["rollout.sample=2"], "rollout.sample: unknown key; did you mean samples?"),
        ("demo", {}, ["rollout.samples"], "is not of the form section.field=value"),
        ("nothing", {}, [], "preset: 'nothing' does not exist; use one of"),
    ],
)
def test_what_no_field_can_refuse_is_one_message(
    preset: str, filled: dict[str, Any], overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        configured(preset, EVERYTHING.model_validate(filled), overrides)


def test_a_form_of_one_stage_has_the_settings_up_to_it() -> None:
    names = set(changes("model", "rollout").model_fields)
    assert {"name", "store", "model", "rollout"} <= names
    assert not names & {"filter", "distill", "evaluate", "models"}
    assert "models" in changes("model", "distill").model_fields
    with pytest.raises(ValueError, match="distill"):
        changes("model", "rollout").model_validate({"distill": {"max_steps": 1}})


def test_stores_are_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAD_STORE", raising=False)
    assert absolute_store("runs/demo") == f"{ROOT}/runs/demo"
    monkeypatch.setenv("TAD_STORE", "s3://bucket/tad")
    assert absolute_store("runs/demo") == "s3://bucket/tad/runs/demo"
    assert absolute_store("/data/x") == "/data/x"
    assert absolute_store("gs://other") == "gs://other"


def test_own_presets_are_choices_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump({**demo, "name": "ours"}))
    (tmp_path / "broken.yaml").write_text("{")
    monkeypatch.setenv("TAD_PRESETS", str(tmp_path))
    presets.cache_clear()
    try:
        assert "ours" in presets() and "broken" not in presets()
        assert configured("ours", Partial(), []).name == "ours"
    finally:
        presets.cache_clear()

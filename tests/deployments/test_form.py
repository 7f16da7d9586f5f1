"""The run form: what it offers, and what comes of what is filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.form import ROOT, Partial, absolute_store, changes, configured, presets
from tad_core.config import DistillConfig, TADConfig, load_config
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
        if "evaluate" in yaml.safe_load(file.read_text())
    }
    assert {"demo", "tiny-llada"} <= shipped <= set(schema["properties"]["preset"]["enum"])
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
    number, word = rollout["batch_size"]["anyOf"]
    assert (number["type"], number["minimum"], word["const"]) == ("integer", 1, "auto")
    assert rollout["finish_early"]["enum"] == [True, False], "a switch could not be left empty"
    distill = schema["definitions"]["Distill"]["properties"]
    assert distill["schedule"]["enum"] == ["constant", "cosine", "linear"]
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
    assert not [d for d in schema["definitions"].values() if "required" in d]
    # A database may give the fields back in any order.
    order = sorted(distill, key=lambda name: distill[name]["position"])
    assert order == [name for name in DistillConfig.model_fields if name in distill]


def test_no_setting_of_one_value_is_missing_from_the_form(schema: dict[str, Any]) -> None:
    """Only lists of sources and mappings have no field; they are for the overrides."""

    def missing(model: Any, form: Any, path: str) -> list[str]:
        out = []
        for name, info in model.model_fields.items():
            inner = form.model_fields.get(name)
            if inner is None:
                out.append(f"{path}{name}")
            elif hasattr(info.annotation, "model_fields"):
                out += missing(info.annotation, inner.annotation, f"{path}{name}.")
        return out

    without = set(missing(TADConfig, EVERYTHING, ""))
    assert {"data", "evaluate.tasks"} <= without
    assert all("list[" in str(_annotation(p)) or "dict[" in str(_annotation(p)) for p in without), without


def _annotation(path: str) -> Any:
    model: Any = TADConfig
    for part in path.split("."):
        model = model.model_fields[part].annotation
    return model


def test_fields_come_on_top_of_the_preset_and_overrides_on_top_of_the_fields() -> None:
    filled = EVERYTHING.model_validate(
        {
            "rollout": {"seed": 3, "samples": 2, "finish_early": False},
            "distill": {"lora": {"roles": ["q", "v"]}},
        }
    )
    config = configured("demo", filled, ["rollout.samples=4", "data.0.count=7", "distill.max_steps=null"])
    assert (config.rollout.seed, config.rollout.samples, config.rollout.finish_early) == (3, 4, False)
    assert config.distill.lora.roles == ["q", "v"]
    assert config.data[0].count == 7 and config.distill.max_steps is None
    assert config.rollout.shard_size == load_config(presets()["demo"]).rollout.shard_size


@pytest.mark.parametrize(
    ("preset", "filled", "overrides", "message"),
    [
        ("demo", {"rollout": {"block_length": 48}}, [], "rollout.block_length: 48 does not divide"),
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
    assert not names & {"filter", "distill", "evaluate"}
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

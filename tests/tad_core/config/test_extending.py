"""A run's file on top of another: what comes of both, and where what is wrong with it stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.config import load_config, naming_lines, parse_config
from tad_core.config.extending import read_run
from tad_core.config.rollout import CacheConfig
from tad_core.errors import ConfigError
from tad_core.shapes import PUBLISHED, shape_of
from tad_core.study.config import load_study

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.fixture
def base(tiny_tree: dict[str, Any], tmp_path: Path) -> Path:
    """The small configuration, one section a line."""
    file = tmp_path / "base.yaml"
    file.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in tiny_tree.items()) + "\n")
    return file


def write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_sections_go_on_entry_by_entry_and_the_rest_is_replaced(
    base: Path, tiny_tree: dict[str, Any], tmp_path: Path
) -> None:
    text = """
extends: ../base.yaml
name: own
data:
- {name: sums, source: arithmetic, count: 3}
distill:
  lora: {rank: 2}
  max_steps:
"""
    plain = json.loads(json.dumps(tiny_tree))
    plain["name"], plain["data"] = "own", [{"name": "sums", "source": "arithmetic", "count": 3}]
    plain["distill"]["lora"] = plain["distill"].get("lora", {}) | {"rank": 2}
    plain["distill"]["max_steps"] = None
    file = write(tmp_path / "below", text)
    assert load_config(file) == parse_config(plain)
    assert load_config(file, ["distill.lora.rank=8"]).distill.lora.rank == 8
    assert "extends" not in load_config(file).model_dump()


def test_a_file_may_extend_one_that_extends(base: Path, tmp_path: Path) -> None:
    write(tmp_path, "extends: base.yaml\nname: middle\nrollout: {seed: 5}\n", "middle.yaml")
    config = load_config(write(tmp_path, "extends: middle.yaml\nname: own\n"))
    assert (config.name, config.rollout.seed) == ("own", 5)
    assert config.model == load_config(base).model


def test_what_is_wrong_is_told_with_the_file_it_stands_in(
    base: Path, tiny_tree: dict[str, Any], tmp_path: Path
) -> None:
    tiny_tree["filter"] = {"extract_by_source": {"none": ["boxed"]}}
    base.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in tiny_tree.items()) + "\n")
    line = list(tiny_tree).index("filter") + 1
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "extends: base.yaml\n"))
    assert str(caught.value).endswith(f"(line {line} of {base})")

    file = write(tmp_path, "extends: base.yaml\nrollout:\n  sede: 3\n  seed: -1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    told = str(caught.value)
    assert f"did you mean seed? (line 3 of {file})" in told and f"(line 4 of {file})" in told
    for field, place in (("rollout.seed", f"line 4 of {file}"), ("data.0.count", f"of {base}")):
        with pytest.raises(ConfigError, match="no room") as caught, naming_lines(file):
            raise ConfigError(f"{field}: no room")
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("5", "extends: 5 is not a file; name a run's YAML file, or leave it out (line 1 of "),
        ("", "extends: None is not a file"),
        ("[base.yaml]", "extends: ['base.yaml'] is not a file"),
        ("none.yaml", "none.yaml does not exist; name a file from the folder of own.yaml (line 1 of "),
        ("own.yaml", "own.yaml begins from own.yaml itself; one of them has to stand alone (line 1 of "),
        ("round.yaml", "own.yaml begins from round.yaml itself"),
        ("list.yaml", "list.yaml holds no mapping"),
        ("twice.yaml", "name is given twice, on line 1 and on line 2 of "),
    ],
)
def test_what_cannot_be_extended_is_one_error(extends: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, "extends: own.yaml\n", "round.yaml")
    write(tmp_path, "- 1\n", "list.yaml")
    write(tmp_path, "name: a\nname: b\n", "twice.yaml")
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"extends: {extends}\n"))
    assert message in str(caught.value)


def test_merged_keys_and_aliases_are_laid_over_like_plain_ones(tmp_path: Path) -> None:
    write(tmp_path, "a: &a {x: 1, y: 2}\nb: {<<: *a, z: 3}\nc: *a\n", "base.yaml")
    document = read_run(write(tmp_path, "extends: base.yaml\nb: {y: 5}\nc: {x: 7}\n"))
    assert document.tree == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 5, "z": 3}, "c": {"x": 7, "y": 2}}
    assert document.where(["b", "y"]) == f" (line 2 of {tmp_path / 'own.yaml'})"
    assert document.where(["c", "y"]) == f" (line 1 of {tmp_path / 'base.yaml'})"


def test_a_study_varies_a_run_that_extends_another(tmp_path: Path) -> None:
    shutil.copy(CONFIGS / "tiny-llada.yaml", tmp_path)
    study = yaml.safe_load((CONFIGS / "study-tiny.yaml").read_text())
    plain = load_study(CONFIGS / "study-tiny.yaml")
    assert study["config"] == "tiny-llada.yaml"
    study["config"] = write(tmp_path, "extends: tiny-llada.yaml\nrollout: {seed: 4}\n").name
    found = load_study(write(tmp_path, yaml.safe_dump(study, sort_keys=False), "study.yaml"))
    assert found.run.rollout.seed == 4
    assert found.run.model_copy(update={"rollout": plain.run.rollout}) == plain.run


@pytest.mark.parametrize(
    ("name", "below"),
    [("llada-1.5", "llada-8b"), ("dream-coder-7b", "dream-7b"), ("diffucoder-7b", "dream-7b")],
)
def test_presets_of_other_models_share_the_recipe(name: str, below: str) -> None:
    own, recipe = load_config(CONFIGS / f"{name}.yaml"), load_config(CONFIGS / f"{below}.yaml")
    assert own.distill == recipe.distill and own.rollout == recipe.rollout
    assert own.evaluate.decode == recipe.evaluate.decode
    assert own.name == name and own.store == f"runs/{name}" != recipe.store
    assert own.model.path != recipe.model.path and own.model.revision != recipe.model.revision
    assert own.model.path in PUBLISHED, "tad plan counts it where the checkpoint is not"
    shape, _ = shape_of(own.model)
    assert shape.parameters == shape_of(recipe.model)[0].parameters
    if "coder" in name:
        assert {source.source for source in own.data} == {"kodcode"}
        assert all(str(t.options["task"]).startswith(("humaneval", "mbpp")) for t in own.evaluate.tasks)


def test_the_fast_preset_takes_a_quarter_of_the_states_of_cached_rollouts() -> None:
    own, recipe = load_config(CONFIGS / "llada-8b-fast.yaml"), load_config(CONFIGS / "llada-8b.yaml")
    for section in ("store", "model", "data", "filter", "calibrate"):
        assert getattr(own, section) == getattr(recipe, section)
    assert own.rollout == recipe.rollout.model_copy(update={"cache": CacheConfig(mode="dual")})
    changed = {"near": "soft", "quantize": "fp8", "filled_states": "skip", "states_per_trajectory": 64}
    assert own.distill == recipe.distill.model_copy(update=changed)
    assert 4 * own.distill.states_per_trajectory == recipe.distill.states_per_trajectory

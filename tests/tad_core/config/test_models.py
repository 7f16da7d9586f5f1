"""The table of models: what stands in it, what is filled in, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.config import load_config, parse_config, variants
from tad_core.errors import ConfigError


def table(tree: dict[str, Any], models: dict[str, Any] | None, **sections: Any) -> Any:
    tree = {**tree, **sections, "models": models} if models is not None else {**tree, **sections}
    return parse_config(tree)


@pytest.fixture
def tree(tiny_tree: dict[str, Any]) -> dict[str, Any]:
    tiny_tree["evaluate"].pop("models", None)
    return tiny_tree


def test_without_a_table_there_are_the_standard_models(tree: dict[str, Any]) -> None:
    config = table(tree, None)
    assert [(v.name, v.label, v.distill.objective) for v in variants(config).values()] == [
        ("sft", "Fine-tuned", "sft"),
        ("quality", "Quality", "tad"),
        ("speed", "Speed", "tad"),
    ]
    assert config.evaluate.models == ["base", "quality", "speed"]
    assert all(variants(config)[name].distill == config.distill for name in ("quality", "speed"))
    assert "models" not in config.identity()


def test_what_is_beyond_the_paper_is_told(tree: dict[str, Any]) -> None:
    settings = {"soften_near": 0.25, "follow": {"steps": 20, "threshold": 0.4}, "emphasis": 2}
    found = variants(table(tree, {"quality": {}, "more": {"window": 3, "settings": settings}}))
    assert found["quality"].distill.beyond_the_paper == []
    softened, followed, weighed = found["more"].distill.beyond_the_paper
    assert "over 25% of the run" in softened and "to the power 2" in weighed
    assert "every 20 steps" in followed and "below 0.4" in followed


def test_a_snapshot_of_the_adapter_does_not_go_with_deepspeed(tree: dict[str, Any]) -> None:
    distill = {**tree["distill"], "deepspeed": "zero2.json", "launcher": "torchrun"}
    with pytest.raises(
        ConfigError, match=r"objective: t3d runs an earlier state .* zero2.json; set deepspeed to null"
    ):
        table(tree, {"x": {"objective": "t3d"}}, distill=distill)


def test_a_table_is_compared_as_a_whole_and_fills_in_what_is_left_open(tree: dict[str, Any]) -> None:
    models = {
        "quality": None,
        "mid": {"window": {"threshold": 0.35, "cap": 4}, "label": "Middle", "colour": "#00aa11"},
        "five": {"window": 5},
        "hard": {"window": "quality", "settings": {"distant": "hard", "lora": {"rank": 3}}},
        "plain": {"objective": "sft"},
    }
    config = table(tree, models)
    found = variants(config)
    assert config.evaluate.models == ["base", *models]
    assert parse_config(config.model_dump(mode="json")) == config
    assert [v.label for v in found.values()] == ["Quality", "Middle", "five", "hard", "plain"]
    rules = {n: v.window.model_dump(exclude_none=True) for n, v in found.items() if v.window is not None}
    assert rules == {
        "quality": {"like": "quality"},
        "mid": {"threshold": 0.35, "cap": 4},
        "five": {"steps": 5},
        "hard": {"like": "quality"},
    }
    hard = found["hard"].distill
    assert (hard.distant, hard.lora.rank, hard.lora.alpha) == ("hard", 3, config.distill.lora.alpha)
    assert found["five"].distill == config.distill and found["plain"].distill.objective == "sft"
    some = table(tree, models, evaluate={**tree["evaluate"], "models": ["base", "five"]})
    assert some.evaluate.models == ["base", "five"]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"base": {}}, r"models\.base: base is always there and is not trained; choose another name"),
        ({"teacher": {"window": 2}}, r"models\.teacher: teacher is always there"),
        ({"../up": {"window": 2}}, r"models: '\.\./up' cannot name a model, which names files; use up to 40 of"),
        ({"A": {"window": 2}}, r"models: 'A' cannot name a model"),
        ({"a.b": {"window": 2}}, r"models: 'a\.b' cannot name a model"),
        ({"x" * 41: {"window": 2}}, r"cannot name a model"),
        ({"a-b": {"window": 2}, "a_b": {"window": 3}}, r"models\.a_b: a-b is the same name but for .*rename"),
        ({"x": 4}, r"models\.x: 4 is not accepted: use a mapping of some of .*, settings, window"),
        ({"x": {"window": True}}, r"models\.x\.window: True is not .* use a mapping of some of cap, like, steps, thr"),
        ({"x": {"window": 3, "settings": [1]}}, r"models\.x\.settings: \[1\] is not .* use a mapping of names to"),
        ({"x": {"window": 3, "settings": {"t3d": 1}}}, r"settings\.t3d: the tad objective has no such setting"),
        ({"x": {"objective": "t3d", "settings": {"t3d": 1}}}, r"settings\.t3d: 1 is not .* some of alpha, beta, path"),
        ({1: {"window": 3}}, r"models: 1 is not accepted as a name; write it in quotes"),
        ({"x": {"objective": "rl"}}, r"models\.x\.objective: 'rl' is not accepted: Input should be 'tad' or 'sft' or"),
        ({"x": {}}, r"models\.x\.window: missing; the tad objective needs one: a number of steps, quality or"),
        ({"x": {"window": 17}}, r"models\.x\.window: steps 17 is more than rollout\.response_length 16; use at most"),
        ({"x": {"window": {"threshold": 0.3, "cap": 17}}}, r"models\.x\.window: cap 17 is more than"),
        ({"x": {"window": 0}}, r"models\.x\.window\.steps: 0 is not accepted"),
        ({"x": {"window": "slow"}}, r"models\.x\.window\.like: 'slow' is not accepted"),
        ({"x": {"window": {"threshold": 1.0}}}, r"models\.x\.window\.threshold: 1\.0 is not accepted"),
        ({"x": {"window": {"threshold": 0.3, "steps": 4}}}, r"models\.x\.window\.steps: steps and threshold given"),
        ({"x": {"window": {"steps": 4, "cap": 4}}}, r"models\.x\.window\.cap: is for a threshold; leave it out"),
        ({"x": {"window": {"treshold": 0.3}}}, r"models\.x\.window\.treshold: unknown key; did you mean threshold\?"),
        ({"x": {"objective": "sft", "window": 3}}, r"models\.x\.window: the sft objective has none; leave it out"),
        ({"x": {"window": 3, "settings": {"nar": "hard"}}}, r"models\.x\.settings\.nar: unknown key; known here: ans"),
        ({"x": {"window": 3, "settings": {"near": "no"}}}, r"models\.x\.settings\.near: 'no' is not accepted"),
        ({"x": {"window": 3, "settings": {"lora": {"rank": 0}}}}, r"models\.x\.settings\.lora\.rank: 0 is not"),
        ({"x": {"window": 3, "settings": {"lora": {"rnk": 1}}}}, r"lora\.rnk: unknown key; did you mean rank"),
        ({"x": {"window": 3, "settings": {"emphasis": True}}}, r"emphasis: True is not .* a number, not true"),
        ({"x": {"objective": "t3d", "settings": {"mask_block": 17}}}, r"mask_block: 17 is more than rollout"),
        ({"x": {"objective": "d3llm", "settings": {"mask_blocks": [8, 17]}}}, r"mask_blocks: 17 is more than rollout"),
        ({"x": {"window": 3, "label": " "}}, r"models\.x\.label: ' ' is not accepted"),
        ({"x": {"window": 3, "settings": {"processes": 2}}}, r"settings\.processes: is the same for all models; set"),
        ({"x": {"window": 3, "settings": {"objective": "sft"}}}, r"settings\.objective: say it as models\.x\.obj"),
        ({"x": {"objective": "sft", "settings": {"near": "hard"}}}, r"settings\.near: the sft objective has no such"),
        ({"x": {"objective": "d2f", "settings": {"mask_block": 5}}}, r"mask_block: 5 does not divide .* 16, and a"),
        ({"x": {"objective": "d2f", "settings": {"d2f": {"rate_low": 0.8}}}}, r"rate_low: 0.8 is more than rate_high"),
        ({"x": {"window": 3, "settings": {"states_per_trajectory": 17}}}, r"states_per_trajectory: 17 is more than"),
        ({"x": {"window": 3, "settings": {"global_batch_size": 3}}}, r"models\.x\.settings\.global_batch_size: 3 is"),
        ({"x": {"window": 3, "label": "Quality"}, "quality": {}}, r"models\.quality\.label: 'Quality' is what x is"),
        ({"x": {"window": 3, "label": "Base"}}, r"models\.x\.label: 'Base' is what base is called, too"),
        ({"x": {"window": 3, "colour": "red"}}, r"models\.x\.colour\.light: 'red' is not accepted"),
        ({"x": {"windows": 3}}, r"models\.x\.windows: unknown key; did you mean window\?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(
    tree: dict[str, Any], models: dict[str, Any], message: str
) -> None:
    tree["distill"] = {**tree["distill"], "micro_batch_size": 2, "global_batch_size": 2}
    with pytest.raises(ConfigError, match=message) as caught:
        table(tree, models)
    assert len(str(caught.value).splitlines()) == (2 if "colour" in message else 1)


PAGE = Path(__file__).parents[3] / "docs" / "objectives.md"


@pytest.mark.parametrize(("preset", "which"), [("llada-8b", 0), ("dream-7b", 1)])
def test_the_tables_of_the_papers_fit_the_presets(preset: str, which: int) -> None:
    part = PAGE.read_text(encoding="utf-8").partition("### As their papers train them")[2]
    models = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", part, flags=re.DOTALL)[which])["models"]
    tree = yaml.safe_load((PAGE.parents[1] / "configs" / f"{preset}.yaml").read_text(encoding="utf-8"))
    alone = {"processes": 1, "launcher": "python", "deepspeed": None}
    tree = {**tree, "models": models, "distill": {**tree["distill"], **alone}}
    tree["evaluate"].pop("models", None)
    found = variants(parse_config(tree))
    assert {name: v.distill.objective for name, v in found.items()} == {name: name for name in models}
    for name, given in models.items():
        made = found[name].distill.model_dump()
        assert all(made[field] == value or field == "lora" for field, value in given["settings"].items())


def test_models_compared_are_those_of_the_table(tree: dict[str, Any]) -> None:
    def compared(*names: str, models: dict[str, Any] | None = None) -> None:
        table(tree, models, evaluate={**tree["evaluate"], "models": list(names)})

    with pytest.raises(
        ConfigError, match=r"evaluate\.models: 'mid' is not a model; use one of base, sft, quality"
    ):
        compared("base", "mid")
    with pytest.raises(
        ConfigError, match=r"'quality' is not a model; use one of base, mid, or add it to models:"
    ):
        compared("base", "quality", models={"mid": {"window": 2}})
    with pytest.raises(ConfigError, match=r"evaluate\.models: 'base' is named twice; leave one out"):
        compared("base", "base")


def test_a_variant_can_be_set_from_the_command_line() -> None:
    change = ["models.quality=", "models.mid.window.threshold=0.35", "models.mid.settings.near=soft"]
    config = load_config("configs/demo.yaml", change)
    assert config.evaluate.models == ["base", "quality", "mid"]
    assert variants(config)["mid"].distill.near == "soft"

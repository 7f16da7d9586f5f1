"""The ways of a run: each model's, in order, at the thresholds of its method, and what cannot be decoded."""

from __future__ import annotations

from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig, parse_config
from tad_core.data.sources import load_source
from tad_core.decoding.policies import POLICIES
from tad_core.errors import ConfigError
from tad_core.evaluation.decoders import check_ways, how, modes, operating_spec, ways
from tad_core.evaluation.generate import Generator
from tad_core.evaluation.records import points
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import DirectEngine, sweep
from tad_core.planning.survey import survey
from tad_core.stages.evaluate import check_decoders, key
from tad_core.stages.pipeline import prepare
from tad_core.stages.slice_plan import spec_fields
from tests.tad_core.evaluation.decoded import decodings_of
from tests.tad_core.evaluation.test_sweep import CoinJudge
from tests.tad_core.stages.test_evaluate import adapter_of

BLOCKS = {"objective": "d2f", "settings": {"mask_block": 4}}
#: a threshold of every method that has one
LEVELS = {
    "entropy": 0.5, "confidence": 0.9, "factor": 1.5, "entropy_block": 0.5, "d3llm": 0.5, "d3llm_dream": 0.5,
    "low_confidence": 2, "fixed_budget": 8, "pipeline": 0.9,
}  # fmt: skip


def run(tree: dict[str, Any], models: dict[str, Any] | None = None, **evaluate: Any) -> TADConfig:
    evaluate = {**tree["evaluate"], "harness": "direct", **evaluate}
    return parse_config({**tree, "evaluate": evaluate, **({"models": models} if models else {})})


def decoded_by(method: str, *thresholds: float, **decode: Any) -> dict[str, Any]:
    """Settings of evaluate."""
    return {
        "thresholds": list(thresholds),
        "operating_threshold": thresholds[-1],
        "decode": {"block_length": 8, "method": method, **decode},
    }


@pytest.mark.parametrize("method", LEVELS)
def test_a_run_is_swept_by_any_method_at_values_of_what_it_goes_by(
    tiny_tree: dict[str, Any], method: str
) -> None:
    config = run(tiny_tree, **decoded_by(method, LEVELS[method]))
    single, fast = ways(config, "base")
    assert single == ways(run(tiny_tree), "base")[0], "token by token is the same whatever the method"
    assert (fast.method, fast.level) == (method, LEVELS[method]) and fast == operating_spec(config, "base")
    assert LEVELS.keys() | {"token_by_token"} == POLICIES.keys(), "a method is new or gone"


def test_the_slices_of_a_run_as_it_always_was_are_those_from_before(tiny_tree: dict[str, Any]) -> None:
    assert spec_fields(ways(run(tiny_tree), "base")[1]) == {
        "response_length": 16, "block_length": 8, "method": "entropy", "threshold": 0.5, "block_add_threshold": 0.1,
        "early_stop": True, "mask_in_entropy": True, "cache": "none",
    }  # fmt: skip


def test_a_model_that_names_a_decoder_is_measured_by_it_and_by_no_other(tiny_tree: dict[str, Any]) -> None:
    own = {"method": "confidence", "thresholds": [0.9, 0.7], "operating": 0.7, "cache": {"mode": "dual"}}
    models = {
        "quality": {"decode": own},
        "speed": {},
        "blocks": BLOCKS,
        "named": {**BLOCKS, "decode": {"method": "pipeline", "thresholds": [0.6]}},
    }
    config = run(tiny_tree, models, pipeline={"thresholds": [0.8], "activation_threshold": 0.5})

    def told(name: str) -> list[str]:
        return [how(spec) for spec in ways(config, name)]

    assert told("base") == told("speed") == ["token by token", "threshold 0.5"]
    assert told("quality") == ["token by token", "confidence threshold 0.7", "confidence threshold 0.9"]
    assert told("blocks") == ["token by token", "threshold 0.5", "probability 0.8"]
    assert told("named") == ["token by token", "probability 0.6"]
    assert [spec.cache for spec in ways(config, "quality")] == ["none", "dual", "dual"]
    assert operating_spec(config, "quality").threshold == 0.7
    assert operating_spec(config, "named").decoded_threshold == 0.5, "the run's threshold of blocks"
    assert {(s.block_length, s.attention) for s in ways(config, "named")} == {(4, "block_causal")}


@pytest.mark.parametrize(
    ("models", "evaluate", "message"),
    [
        ({}, decoded_by("best", 0.5),
         r"evaluate\.decode\.method: 'best' is not known; use one of .* \(of base, quality, speed\)"),
        ({}, decoded_by("confidence", 1.5),
         r"evaluate\.thresholds: confidence takes none such; threshold: 1\.5 is not a probability; use 0 to 1"),
        ({}, decoded_by("low_confidence", 1.5),
         r"evaluate\.thresholds: low_confidence takes none such; tokens_per_forward: 1\.5"),
        ({"quality": {}, "x": {"window": 4, "decode": {"method": "fixed_budget", "thresholds": [1]}}}, {},
         r"^models\.x\.decode\.thresholds: fixed_budget takes none such; forward_budget: 1 .* from 2, .* \(of x\)$"),
        ({"x": {"window": 4, "decode": {"thresholds": [1], "block_length": 3}}}, {},
         r"models\.x\.decode\.block_length: 3 does not divide"),
        ({"blocks": BLOCKS}, decoded_by("fixed_budget", 3), r"forward_budget: 3 .* from 4, .* \(of blocks\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded_is_said_before_any_work(
    tiny_tree: dict[str, Any], models: dict[str, Any], evaluate: dict[str, Any], message: str
) -> None:
    config = run(tiny_tree, models, **evaluate)
    for check in (check_ways, check_decoders, lambda config: prepare(config, Store(config.store))):
        with pytest.raises(ConfigError, match=message):
            check(config)
    prepare(config, Store(config.store), "distill")
    with pytest.raises(ConfigError, match=message):
        raise survey(config, Store(config.store)).refused[0]


def test_keys_follow_what_decodes_a_model(tiny_tree: dict[str, Any]) -> None:
    def keys(config: TADConfig) -> dict[str, str]:
        adapter = adapter_of(config, Store(config.store))
        return {n: key(config, n, None if n == "base" else adapter) for n in config.evaluate.models}

    def changed(own: dict[str, Any] | None, **evaluate: Any) -> set[str]:
        models = {"quality": {"decode": own} if own else {}, "speed": {}}
        after = keys(run(tiny_tree, models, **evaluate))
        return {name for name in after if after[name] != before[name]}

    own: dict[str, Any] = {"method": "factor", "thresholds": [1.5]}
    before = keys(run(tiny_tree, {"quality": {}, "speed": {}}))
    assert before == keys(run(tiny_tree)), "a table of the same models"
    assert changed(own) == {"quality"}
    assert changed(None, **decoded_by("confidence", 0.5)) == {"base", "quality", "speed"}
    before = keys(run(tiny_tree, {"quality": {"decode": own}, "speed": {}}))
    assert changed({**own, "thresholds": [2.5]}) == changed({**own, "cache": {"mode": "dual"}}) == {"quality"}
    assert changed(own, thresholds=[0.5, 0.7]) == {"base", "speed"}
    assert changed(own, **decoded_by("confidence", 0.5)) == {"base", "speed"}


def test_an_evaluation_says_the_mode_of_each_of_its_ways(tiny_tree: dict[str, Any]) -> None:
    cached = {"method": "confidence", "thresholds": [0.9], "cache": {"mode": "dual"}}
    config = run(tiny_tree, {"quality": {"decode": cached}})
    assert modes(ways(config, "base")) == "exact"
    assert modes(ways(config, "quality")) == "exact; dual cache, refresh block"


def test_models_are_measured_each_by_its_decoder(tiny_tree: dict[str, Any]) -> None:
    own = {"method": "low_confidence", "thresholds": [4]}
    config = run(tiny_tree, {"quality": {"decode": own}}, **decoded_by("fixed_budget", 4.0))
    generator = Generator.load(config.model)
    tasks = {source.name: load_source(source) for source in config.evaluate.tasks}
    for model, method in (("base", "fixed_budget"), ("quality", "low_confidence")):
        engine = DirectEngine(tasks, generator, Scorer(CoinJudge()))
        records, example = sweep(config, model, engine, generator, decodings_of(generator, tasks))
        measured = points(records)
        assert [(p["method"], p["threshold"]) for p in measured] == [("token_by_token", 0), (method, 4)]
        assert measured[1]["nfe"] <= 4
        shown = [(d["method"], d["threshold"]) for d in example["decodings"]]
        assert shown == [("token_by_token", 0.0), (method, 4.0)]

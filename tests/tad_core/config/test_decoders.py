"""Decoders in a configuration: the run's, a model's own, and what is refused of either."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tad_core.config import decoder_of, dump_config, own_decoder, parse_config
from tad_core.errors import ConfigError

OWN = {"method": "factor", "thresholds": [1.0, 2.0], "operating": 2.0, "early_stop": False}
BLOCKS = {"objective": "d2f", "settings": {"mask_block": 4}}


@pytest.fixture
def tree(tiny_tree: dict[str, Any]) -> dict[str, Any]:
    tiny_tree["evaluate"] |= {"thresholds": [0.9, 0.7], "operating_threshold": 0.9}
    tiny_tree["evaluate"]["decode"] = {"method": "confidence", "block_length": 8, "block_add_threshold": 0.4}
    tiny_tree["models"] = {"quality": None, "own": {"window": 4, "decode": OWN}}
    return tiny_tree


def test_a_model_has_the_runs_decoder_or_its_own_which_has_the_rest_from_the_runs(
    tree: dict[str, Any],
) -> None:
    config = parse_config(tree)
    shared, own = decoder_of(config, "quality"), decoder_of(config, "own")
    assert shared == decoder_of(config, "base") and own_decoder(config, "quality") is None
    assert (shared.method, shared.thresholds, shared.at) == ("confidence", [0.7, 0.9], 0.9)
    assert (own.method, own.thresholds, own.at) == ("factor", [1.0, 2.0], 2.0)
    assert (own.block_length, own.block_add_threshold, own.early_stop) == (8, 0.4, False)


def test_what_is_written_beside_an_artifact_means_the_same(tree: dict[str, Any]) -> None:
    tree["models"]["blocks"] = {**BLOCKS, "decode": {"thresholds": [0.8]}}
    config = parse_config(tree)
    for again in (config.model_dump(mode="json"), yaml.safe_load(dump_config(config))):
        assert parse_config(again) == config


def test_a_run_as_it_always_was_has_no_word_of_methods_in_its_identity(tiny_tree: dict[str, Any]) -> None:
    tiny_tree["models"] = {"quality": None}
    config = parse_config(tiny_tree)
    assert "method" not in config.evaluate.identity()["decode"]
    assert "decode" not in config.identity()["models"]["quality"]


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("evaluate", {"decode": {"method": "token_by_token", "block_length": 8}},
         r"decode\.method: every model is decoded token_by_token in any case; name the method that thresholds"),
        ("evaluate", {"operating_threshold": 0.8}, r"operating_threshold: 0\.8 is not in thresholds"),
        ("models", {"x": {"window": 4, "decode": {"method": "token_by_token"}}},
         r"models\.x\.decode\.method: every model is decoded token_by_token in any case; name another"),
        ("models", {"x": {"window": 4, "decode": {"method": "factor"}}}, "factor needs one or more different ones"),
        ("models", {"x": {"window": 4, "decode": {"thresholds": [1, 2]}}}, "operating: missing"),
        ("models", {"x": {"window": 4, "decode": {"thresholds": [1], "blocks": 3}}}, "blocks: unknown key"),
        ("models", {"x": {**BLOCKS, "decode": {"thresholds": [0.5], "block_length": 16}}},
         r"models\.x\.decode\.block_length: 16 given, and a model of the d2f objective is decoded in the blocks of 4"),
        ("models", {"x": {**BLOCKS, "decode": {"thresholds": [0.5], "cache": {"mode": "dual"}}}},
         r"models\.x\.decode\.cache\.mode: 'dual' is for a model that sees the whole response"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    tree: dict[str, Any], section: str, change: dict[str, Any], message: str
) -> None:
    tree[section] = {**tree[section], **change} if section == "evaluate" else change
    with pytest.raises(ConfigError, match=message):
        parse_config(tree)


def test_thresholds_of_another_method_are_not_the_default_entropies(tree: dict[str, Any]) -> None:
    del tree["evaluate"]["thresholds"], tree["evaluate"]["operating_threshold"]
    with pytest.raises(
        ConfigError, match=r"thresholds: missing; the default ones are entropies, say .* confidence"
    ):
        parse_config(tree)

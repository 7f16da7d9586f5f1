"""The file that says how a model is decoded."""

from __future__ import annotations

import pytest
import yaml

from tad_core.decoding import DecodeSpec
from tad_core.decoding.decoder_file import NAME, decoder_text, read_decoder
from tad_core.decoding.policies import POLICIES
from tad_core.errors import ConfigError, ModelError

SPECS = [
    DecodeSpec(256, 32, "entropy", 0.5, 0.1),
    DecodeSpec(64, 16, early_stop=False),
    DecodeSpec(64, 16, "pipeline", 0.9, 0.1, attention="block_causal", cache="blocks", decoded_threshold=0.8),
    DecodeSpec(64, 16, "confidence", 0.9, mask_in_entropy=False, cache="dual", refresh_reveals=8),
    DecodeSpec(64, 16, "factor", factor=1.5, cache="prefix"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.method)
def test_what_is_written_is_read(tmp_path, spec):
    (tmp_path / NAME).write_text(decoder_text(spec, 126336))
    assert read_decoder(tmp_path) == spec
    assert read_decoder(tmp_path / "elsewhere") is None


def test_other_engines_find_their_names_flat():
    tree = yaml.safe_load(decoder_text(SPECS[0], 126336))
    assert list(tree)[:5] == [
        "threshold", "block_size", "block_add_threshold", "decoded_token_threshold", "mask_id"
    ]  # fmt: skip
    assert (tree["threshold"], tree["block_size"], tree["block_add_threshold"]) == (0.5, 32, 0.1)
    assert (tree["decoded_token_threshold"], tree["mask_id"]) == (0.95, 126336)
    assert not any(isinstance(value, dict | list) for value in tree.values())


def test_its_head_says_what_the_threshold_is_of():
    told = {spec.method: decoder_text(spec, 1).split(", and when")[0] for spec in SPECS}
    assert told["entropy"].endswith("the entropy in nats below which a token is revealed")
    assert told["pipeline"].endswith("the probability above which a token is revealed")
    assert told["confidence"].endswith("the probability from which a token is revealed")
    assert told["factor"].endswith("by the method factor, with what it goes by")


def test_an_engine_that_would_decode_it_wrongly_is_warned():
    assert "An engine that does not know" in decoder_text(SPECS[2], 126336)
    assert "attention is block_causal" not in decoder_text(SPECS[0], 126336)


@pytest.mark.parametrize("method", [name for name, policy in POLICIES.items() if policy.knob == "threshold"])
def test_a_threshold_that_is_no_probability_is_said_to_be_in_nats(method):
    try:
        DecodeSpec(32, 8, method, 1.5)
    except ConfigError:
        nats = False
    else:
        nats = True
    text = decoder_text(DecodeSpec(32, 8, method, 0.5), 1)
    assert ("read a probability under the name threshold" in text) is nats
    assert ("in nats" in text.splitlines()[0]) is nats


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "holds no mapping"),
        ("threshold: [", "cannot be read"),
        ("treshold: 0.5", "treshold is not known; use response_length, block_size"),
        ("block_size: 32", "block_size and response_length are needed"),
        ("{block_size: 32, response_length: 64, threshold: high}", "threshold is 'high'; it takes"),
        ("{block_size: true, response_length: 64}", "block_size is True"),
        (
            "{block_size: 32, response_length: 64, factor: 1}",
            "factor: the method token_by_token does not read it",
        ),
        (
            "{block_size: 32, response_length: 64, factor: high}",
            "factor is 'high'; it takes a value of type float",
        ),
        ("{block_size: 32, response_length: 65}", "block_size: 32 does not divide response_length 65"),
        ("{block_size: 32, response_length: 64, cache: suffix}", "'suffix' is not known"),
    ],
)
def test_a_damaged_one_says_what_is_wrong(tmp_path, text, says):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ModelError, match=says) as told:
        read_decoder(tmp_path)
    assert str(tmp_path / NAME) in str(told.value)

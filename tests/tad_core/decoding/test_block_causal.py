"""Decoding block by block: against plain loops over the whole canvas, with the finished blocks kept and without."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tad_core.decoding import DecodeSpec, Request, decode, decode_requests, new_fitting
from tad_core.decoding.block_causal import BlockCausalSchedule
from tad_core.decoding.spec import Lane
from tad_core.errors import ConfigError, ModelError
from tests.tad_core.decoding.naive_blocks import masked_rows, naive_blocks, sees
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.decoding.test_decode import assert_counted, assert_equal

PROMPTS = [[7 + i, 40 + 3 * i, *range(100, 100 + 4 * (i % 3))] for i in range(3)]


def spec_of(length, block, *rest, **more):
    return DecodeSpec(length, block, *rest, attention="block_causal", **more)


SPECS = [
    spec_of(16, 4),
    spec_of(16, 8, early_stop=False),
    spec_of(16, 4, "entropy", 2.0, 0.25),
    spec_of(16, 2, "pipeline", 0.5, 0.5, early_stop=False),
    spec_of(16, 4, "pipeline", 0.3, 0.0, decoded_threshold=0.25),
    spec_of(16, 4, "pipeline", 0.4, 0.25, decoded_threshold=1.0),
    spec_of(16, 4, "pipeline", 1.0, 0.25, decoded_threshold=0.5, early_stop=False),
]


@pytest.fixture(scope="module")
def model(sharp):
    """Who sees whom changes tokens."""
    return sharp


@pytest.mark.thinned(4)
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.method} {s.threshold:g} {s.mode}")
def test_equals_plain_loops_over_the_whole_canvas(model, spec):
    decoded = decode(model, PROMPTS, spec)
    for prompt, one in zip(PROMPTS, decoded, strict=True):
        assert_counted(one, naive_blocks(model, prompt, spec))
    full = decode(model, PROMPTS, replace(spec, attention="full", cache="none"))
    assert [d.tokens for d in full] != [d.tokens for d in decoded], "nobody saw ahead: this shows nothing"


@pytest.mark.thinned(4)
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.method} {s.threshold:g} {s.mode}")
def test_kept_blocks_change_nothing_but_what_is_computed(model, spec):
    exact, kept = (decode(model, PROMPTS, replace(spec, cache=cache)) for cache in ("none", "blocks"))
    for one, other in zip(exact, kept, strict=True):
        assert_equal(other, one)
        assert other.computed < one.computed
        assert (one.full_forwards, other.full_forwards) == (one.forwards, 1)
        assert other.scores == pytest.approx(one.scores, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("cache", ["none", "blocks"])
def test_company_changes_nothing(model, cache, monkeypatch):
    specs = [replace(spec, cache=cache) for spec in SPECS if spec.block_length == 4]
    alone = [[decode(model, [p], spec)[0] for p in PROMPTS] for spec in specs]
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    for spec, expected in zip(specs, alone, strict=True):
        for slots in (2, 3):
            for one, other in zip(expected, decode(model, PROMPTS, spec, slots), strict=True):
                assert_equal(other, one)


def test_noise_is_the_samples_own(model, monkeypatch):
    spec = spec_of(16, 8, cache="blocks")
    requests = [Request(p, (f"p{i}", 0), 0.7) for i, p in enumerate(PROMPTS)]
    alone = [decode_requests(model, [r], spec, 1, new_fitting(), seed=3)[0] for r in requests]
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    together = decode_requests(model, requests, spec, 2, new_fitting(), seed=3)
    assert [d.tokens for d in together] == [d.tokens for d in alone]


def test_logits_of_a_block_do_not_depend_on_later_ones(model):
    """Of the definition that the decoder is held against."""
    ids, seen = [7, 8, 9, *range(20, 32)], sees(3, 12, 4)
    before = masked_rows(model, ids, seen)
    after = masked_rows(model, [*ids[:11], *range(50, 54)], seen)
    torch.testing.assert_close(after[:11], before[:11], rtol=0, atol=0)
    assert not torch.equal(after[11:], before[11:])


def test_what_is_computed_is_what_is_not_final():
    """Two blocks of two behind a prompt of three."""
    spec = spec_of(4, 2, cache="blocks")
    for shift, second in ((0, [0, 0, 0, 0, 0, 1, 1]), (1, [0, 0, 0, 0, 1, 1, 1])):
        schedule = BlockCausalSchedule(spec, 1, 9, shift, torch.device("cpu"))
        prompt_B, total_B = torch.tensor([3]), torch.tensor([7])
        masked_BL = torch.ones(1, 4, dtype=torch.bool)

        def computed(open_L, masked_BL=masked_BL, schedule=schedule, prompt_B=prompt_B, total_B=total_B):
            found_BW, _ = schedule.computed(
                masked_BL, torch.tensor([open_L], dtype=torch.bool), masked_BL, prompt_B, total_B
            )
            schedule.ran(masked_BL, masked_BL.any(1), masked_BL.sum(1))
            return found_BW[0].int().tolist()

        schedule.enter(torch.tensor([True]))
        assert computed([1, 1, 0, 0]) == [1, 1, 1, 1, 1, 0, 0, 0, 0]  # the second block is not there yet
        assert computed([1, 1, 1, 1])[3:7] == [1, 1, 1, 1]
        masked_BL[:] = torch.tensor([[False, False, True, True]])
        assert computed([0, 0, 1, 1]) == [0, 0, 0, 1, 1, 1, 1, 0, 0]  # the first is read as it will stay
        assert computed([0, 0, 1, 1])[:7] == second
        schedule.enter(torch.tensor([True]))
        assert computed([1, 1, 0, 0])[:5] == [1, 1, 1, 1, 1]  # somebody else's slot


def test_a_family_without_such_attention_says_so():
    with pytest.raises(ModelError, match="FormulaModel sees all of a sequence at once"):
        decode(FormulaModel(), [[2]], spec_of(4, 4))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"attention": "causal"}, "attention: 'causal' is not known; use 'full' or 'block_causal'"),
        ({"attention": "block_causal", "cache": "dual"}, "reads block by block; use 'blocks'"),
        ({"cache": "blocks"}, "sees the whole response; use 'dual', 'dual_block', 'prefix' or 'none'"),
        ({"decoded_threshold": 1.5}, "decoded_threshold: 1.5 is not a progress; use 0 to 1"),
        ({"method": "pipeline", "threshold": 1.5}, "threshold: 1.5 is not a probability"),
    ],
)
def test_wrong_settings_are_refused(given, says):
    with pytest.raises(ConfigError, match=says):
        DecodeSpec(16, 4, **given)


def test_modes_and_lanes_are_told_apart():
    assert spec_of(16, 4).mode == "block-causal in blocks of 4"
    assert spec_of(16, 4, cache="blocks").mode == "block-causal in blocks of 4, finished blocks kept"
    assert (spec_of(16, 4).lane, spec_of(16, 8, cache="blocks").lane) == (Lane(False, 4), Lane(True, 8))
    assert DecodeSpec(16, 4, cache="dual").lane == Lane(True) != DecodeSpec(16, 4).lane

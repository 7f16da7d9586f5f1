"""The methods one by one, and that another needs no more than its own file and a line in the registry."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from flows.cli_serving import generate
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.policies.entropy import entropy
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.decoding.spec import OWN_SETTINGS, WHOLE, at_level, changed
from tad_core.errors import ConfigError
from tad_core.serving.requests import Decoding
from tests.tad_core.decoding.naive_decoder import FormulaModel, TableModel, naive_decode
from tests.tad_core.decoding.test_decode import assert_counted, prompts_of, row

METHODS = [
    *(DecodeSpec(16, 4, "confidence", t, early_stop=False) for t in (0.0, 0.5, 0.9, 1.0)),
    *(DecodeSpec(16, 4, "factor", factor=f) for f in (0.05, 0.5, 1.0, 2.5, 5.0)),
    DecodeSpec(16, 16, "factor", factor=1.0, early_stop=False),
    *(DecodeSpec(16, 4, "entropy_block", t, mask_in_entropy=t > 1) for t in (0.0, 0.8, 1.5)),
    *(
        DecodeSpec(16, size, "low_confidence", tokens_per_forward=n)
        for size, n in ((4, 1), (4, 2), (8, 3), (16, 16))
    ),
    *(
        DecodeSpec(16, size, "fixed_budget", forward_budget=n)
        for size, n in ((4, 4), (4, 7), (8, 5), (16, 16))
    ),
    *(
        DecodeSpec(16, 4, method, threshold, add, early_stop=early, mask_in_entropy=not early)
        for method in ("d3llm", "d3llm_dream")
        for threshold, add, early in (
            (0.0, 0.0, False),
            (0.6, 0.1, True),
            (1.2, 0.5, False),
            (0.9, 1.0, True),
        )
    ),
]


@pytest.mark.parametrize("spec", METHODS, ids=str)
def test_every_method_equals_plain_loops(spec):
    for seed in range(2):
        model, prompts = FormulaModel(seed, eos_bonus=1.0), prompts_of(3, seed=seed)
        for prompt, one in zip(prompts, decode(model, prompts, spec), strict=True):
            assert_counted(one, naive_decode(model, prompt, spec))


@pytest.mark.parametrize("spec", METHODS[2::4], ids=str)
def test_so_they_do_on_the_shipped_model(shipped, spec):
    model, prompts = shipped
    for prompt, one in zip(prompts, decode(model, prompts, spec), strict=True):
        assert_counted(one, naive_decode(model, prompt, spec))


@pytest.mark.parametrize("spec", METHODS, ids=str)
def test_company_changes_nothing(spec, monkeypatch):
    model, prompts = FormulaModel(1, eos_bonus=1.0), prompts_of(5)
    alone = decode(model, prompts, spec)
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    assert decode(model, prompts, spec, 4) == alone


def test_the_confidence_threshold_by_hand():
    # One in four that is not the mask: logits of 3 and of 1 give 0.83 and 0.40; the far surer block waits.
    model = TableModel([row(2, 3.0), row(3, 1.0), row(4, 9.0), row(5, 8.0)])
    (one,) = decode(model, [[2]], DecodeSpec(4, 2, "confidence", 0.8))
    assert (one.revealed_at, one.forwards) == ([1, 2, 3, 3], 3)
    (at_once,) = decode(model, [[2]], DecodeSpec(4, 2, "confidence", 0.0))
    assert at_once.revealed_at == [1, 1, 2, 2]
    (alone,) = decode(model, [[2]], DecodeSpec(4, 2, "confidence", 1.0))
    assert alone.revealed_at == [1, 2, 3, 4]


def test_the_factor_by_hand():
    # Four surest chances 0.999, 0.9, 0.8, 0.5: (n + 1)(1 - c) is 0.002, 0.3, 0.8, 2.5.
    rows = [row(2 + i, math.log(4 * c / (1 - c))) for i, c in enumerate((0.9, 0.999, 0.5, 0.8))]
    model = TableModel([[z if v != 1 else -99.0 for v, z in enumerate(r)] for r in rows])
    for factor, revealed_at in ((0.001, [2, 1, 4, 3]), (0.25, [2, 1, 4, 3]), (0.35, [1, 1, 3, 2])):
        (one,) = decode(model, [[2]], DecodeSpec(4, 4, "factor", factor=factor))
        assert one.revealed_at == revealed_at, factor
    assert decode(model, [[2]], DecodeSpec(4, 4, "factor", factor=0.9))[0].revealed_at == [1, 1, 2, 1]
    assert decode(model, [[2]], DecodeSpec(4, 4, "factor", factor=2.6))[0].forwards == 1
    # Two unsure ones are not revealed together for being the last: 3 (1 - 0.5) is not below 1.
    unsure = TableModel([[z if v != 1 else -99.0 for v, z in enumerate(row(2, math.log(4)))]] * 2)
    assert decode(unsure, [[2]], DecodeSpec(2, 2, "factor", factor=1.0))[0].revealed_at == [1, 2]


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_factor_is_a_number_above_zero(factor):
    with pytest.raises(ConfigError, match=r"factor: \S+ is not accepted; use a number above 0"):
        DecodeSpec(8, 4, "factor", factor=factor)


def test_a_setting_of_another_method_is_refused_and_ones_own_is_needed():
    with pytest.raises(ConfigError, match="factor: it is missing; the method factor needs it"):
        DecodeSpec(8, 4, "factor")
    with pytest.raises(
        ConfigError, match=r"factor: the method entropy does not read it, and it is 1.0; .* method factor"
    ):
        DecodeSpec(8, 4, "entropy", 0.5, factor=1.0)


def test_the_rules_of_d3llm_by_hand():
    """Two blocks of two, both open from the start; nothing is below the threshold, and the surest is in the second."""
    rows = [row(2, 1.0), row(3, 1.5), row(4, 3.0), row(5, 2.0)]
    for method, expected in (
        ("entropy", [2, 1, 1, 2]),
        ("d3llm", [2, 1, 1, 2]),
        ("d3llm_dream", [2, 1, 3, 4]),
    ):
        (one,) = decode(TableModel(rows), [[2]], DecodeSpec(4, 2, method, 0.01, 0.0))
        # For Dream 2 waits for its block: the first one is forced to 1, then to 0, and the second begins there alone.
        assert one.revealed_at == expected, method
    bound = float(entropy(torch.tensor([rows[0]]).double()))
    for method, expected in (("entropy", 2), ("d3llm", 1), ("d3llm_dream", 2)):
        (one,) = decode(TableModel(rows[:1] * 2), [[2]], DecodeSpec(2, 2, method, bound))
        assert one.forwards == expected, method


@pytest.mark.parametrize("method", ["d3llm", "d3llm_dream"])
@pytest.mark.parametrize("decoded", [0.0, 0.25, 0.95, 1.0])
def test_when_a_block_counts_as_decoded_decides_nothing(method, decoded):
    for seed in range(4):
        model, spec = FormulaModel(seed, eos_bonus=1.0), DecodeSpec(16, 4, method, 0.8, 0.25)
        trace = naive_decode(model, [2, 3], spec, decoded_threshold=decoded)
        assert_counted(decode(model, [[2, 3]], spec)[0], trace)


def test_a_fixed_number_of_tokens_takes_a_fixed_number_of_forwards():
    spec = DecodeSpec(16, 8, "low_confidence", early_stop=False, tokens_per_forward=3)
    for one in decode(FormulaModel(2), prompts_of(4), spec):
        assert [one.revealed_at.count(step) for step in range(1, 7)] == [3, 3, 2, 3, 3, 2]
    single = DecodeSpec(16, 8, "low_confidence", tokens_per_forward=1)
    assert decode(FormulaModel(2), prompts_of(4), single) == decode(
        FormulaModel(2), prompts_of(4), DecodeSpec(16, 8)
    )


def test_a_budget_is_kept_to_the_forward_and_shared_out():
    for budget in range(2, 17):
        spec = DecodeSpec(16, 8, "fixed_budget", early_stop=False, forward_budget=budget)
        for one in decode(FormulaModel(budget), prompts_of(2), spec):
            assert one.forwards == budget == max(one.revealed_at)
            first, second = (len(set(one.revealed_at[b : b + 8])) for b in (0, 8))
            assert first - second == budget % 2
    # five forwards for two blocks of eight: three and two
    (one,) = decode(
        FormulaModel(2), [[2]], DecodeSpec(16, 8, "fixed_budget", early_stop=False, forward_budget=5)
    )
    assert [one.revealed_at.count(step) for step in range(1, 6)] == [3, 3, 2, 4, 4]


def test_an_entropy_at_the_threshold_counts_in_one_block():
    exact = row(2, 2.0)
    bound = float(entropy(torch.tensor([exact]).double()))
    model = TableModel([exact] * 4)
    assert decode(model, [[2]], DecodeSpec(4, 4, "entropy_block", bound))[0].forwards == 1
    assert decode(model, [[2]], DecodeSpec(4, 4, "entropy_block", math.nextafter(bound, 0)))[0].forwards == 4
    assert decode(model, [[2]], DecodeSpec(4, 2, "entropy_block", bound))[0].revealed_at == [1, 1, 2, 2]


@pytest.mark.parametrize("count", [0, -1, 5, 1.5])
def test_a_fixed_number_is_between_one_token_and_a_block(count):
    with pytest.raises(
        ConfigError, match=r"tokens_per_forward: \S+ is not accepted; use a number from 1 to the 4 of"
    ):
        DecodeSpec(8, 4, "low_confidence", tokens_per_forward=count)


@pytest.mark.parametrize("budget", [0, 1, 9, 4.5])
def test_a_budget_is_between_a_forward_a_block_and_one_a_token(budget):
    with pytest.raises(
        ConfigError, match=r"forward_budget: \S+ is not accepted; use a number from 2, .* to 8, one"
    ):
        DecodeSpec(8, 4, "fixed_budget", forward_budget=budget)


def test_the_level_of_a_way_is_the_value_of_its_knob():
    ways = [
        ("entropy", 0.5),
        ("factor", 2.0),
        ("low_confidence", 2.0),
        ("fixed_budget", 8.0),
        ("pipeline", 0.9),
    ]
    for method, level in ways:
        spec = DecodeSpec(16, 8, **at_level(method, level))
        assert (spec.method, spec.level) == (method, level)
    assert DecodeSpec(16, 8, **at_level("token_by_token", 0.5), threshold=0.5).level == 0.0
    with pytest.raises(ConfigError, match=r"forward_budget: 4\.5 is not accepted"):
        DecodeSpec(16, 8, **at_level("fixed_budget", 4.5))


def test_a_knob_of_a_methods_own_can_be_asked_for_wherever_methods_are():
    own = {policy.knob for policy in POLICIES.values()} - {None, "threshold"}
    assert own == set(OWN_SETTINGS) and set(WHOLE) <= own
    assert own <= Decoding.model_fields.keys()
    assert own <= inspect.signature(generate).parameters.keys()


def test_another_method_loses_what_the_former_alone_reads():
    spec = DecodeSpec(8, 4, "factor", 0.5, factor=1.0)
    assert changed(spec, {"method": "entropy"}) == DecodeSpec(8, 4, "entropy", 0.5)
    assert changed(spec, {"factor": 2.0}) == DecodeSpec(8, 4, "factor", 0.5, factor=2.0)
    with pytest.raises(ConfigError, match="factor: the method entropy does not read it"):
        changed(spec, {"method": "entropy", "factor": 2.0})


class Leftmost(TokenByToken):
    """The first open position, whatever the scores are."""

    def choose(self, scores_BL, open_BL):
        return open_BL & (open_BL.cumsum(1) == 1)


def test_another_method_is_a_class_and_a_line_in_the_registry(monkeypatch):
    with pytest.raises(
        ConfigError, match=r"method: 'leftmost' is not known; use one of token_by_token, entropy,"
    ):
        DecodeSpec(8, 4, "leftmost")
    monkeypatch.setitem(POLICIES, "leftmost", Leftmost)
    for one in decode(FormulaModel(1), prompts_of(3), DecodeSpec(8, 4, "leftmost", early_stop=False), 2):
        assert one.revealed_at == list(range(1, 9))


def test_a_confidence_is_a_probability():
    with pytest.raises(ConfigError, match=r"threshold: 1\.5 is not a probability"):
        DecodeSpec(8, 4, "confidence", 1.5)

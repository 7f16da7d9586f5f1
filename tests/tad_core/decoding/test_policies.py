"""The methods one by one, and that another needs no more than its own file and a line in the registry."""

from __future__ import annotations

import math

import pytest
import torch

from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.errors import ConfigError
from tests.tad_core.decoding.naive_decoder import FormulaModel, TableModel, _row
from tests.tad_core.decoding.test_decode import prompts_of, row


def naive_confidence(model, prompt, length, size, threshold):
    """Fast-dLLM's rule, read aloud: every position of the block at or above the threshold, and the surest."""
    tokens, revealed_at, forwards = [model.mask_token_id] * length, [0] * length, 0
    for block in (range(start, start + size) for start in range(0, length, size)):
        while left := [i for i in block if not revealed_at[i]]:
            forwards += 1
            with torch.no_grad():
                logits = model(torch.tensor([prompt + tokens]))[0, len(prompt) :].double().tolist()
            rows = {i: _row(logits[i], model.mask_token_id, True) for i in left}
            chance = {i: 1 / (1 + math.exp(-rows[i][1])) for i in left}
            surest = max(left, key=lambda i: (rows[i][1], -i))
            for i in left:
                if chance[i] >= threshold or i == surest:
                    tokens[i], revealed_at[i] = rows[i][0], forwards
    return tokens, revealed_at, forwards


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_confidence_threshold_equals_plain_loops(seed, threshold):
    model, spec = FormulaModel(seed), DecodeSpec(16, 4, "confidence", threshold, early_stop=False)
    for prompt, one in zip(prompts := prompts_of(4, seed=seed), decode(model, prompts, spec), strict=True):
        expected = naive_confidence(model, prompt, 16, 4, threshold)
        assert (one.tokens, one.revealed_at, one.forwards) == expected


def test_the_confidence_threshold_by_hand():
    # One in four that is not the mask: logits of 3 and of 1 give 0.83 and 0.40; the far surer block waits.
    model = TableModel([row(2, 3.0), row(3, 1.0), row(4, 9.0), row(5, 8.0)])
    (one,) = decode(model, [[2]], DecodeSpec(4, 2, "confidence", 0.8))
    assert (one.revealed_at, one.forwards) == ([1, 2, 3, 3], 3)
    (at_once,) = decode(model, [[2]], DecodeSpec(4, 2, "confidence", 0.0))
    assert at_once.revealed_at == [1, 1, 2, 2]
    (alone,) = decode(model, [[2]], DecodeSpec(4, 2, "confidence", 1.0))
    assert alone.revealed_at == [1, 2, 3, 4]


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

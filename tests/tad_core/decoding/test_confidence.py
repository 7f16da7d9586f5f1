from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tad_core.decoding.confidence import log_odds, probability


@pytest.mark.parametrize(("odds", "p"), [(0.0, 0.5), (math.log(3), 0.75), (-math.log(3), 0.25), (math.inf, 1.0),
                                         (-math.inf, 0.0), (1e4, 1.0), (-1e4, 0.0)])  # fmt: skip
def test_probability_by_hand(odds, p):
    assert probability(odds) == pytest.approx(p, abs=1e-15)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=9))
def test_probability_is_the_softmax_that_the_odds_came_from(logits):
    logits_V = torch.tensor(logits, dtype=torch.float64)
    for token in range(len(logits)):
        odds = float(log_odds(logits_V, torch.tensor(token)))
        assert probability(odds) == pytest.approx(float(logits_V.softmax(-1)[token]), rel=1e-9, abs=1e-15)

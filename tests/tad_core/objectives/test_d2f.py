"""D2F's masks grow from block to block; its loss is the KL to the teacher, divided by the rate of a token's block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tad_core.config import DistillConfig
from tad_core.objectives import make_objective
from tad_core.objectives.base import Rows

LENGTH, BLOCK, STATES = 44, 8, 4000  # the last block is shorter


def objective(**settings):
    return make_objective(DistillConfig(objective="d2f", mask_block=BLOCK, **settings), None)


@pytest.fixture(scope="module")
def marks():
    made = objective()
    return made.mark(np.zeros((STATES, LENGTH), dtype=np.int64), made.draws("p", LENGTH, STATES, 0))


def test_rates_never_fall_from_block_to_block(marks):
    rate_BL = 1 / marks.weights_BL["masked"]
    rate_BK = rate_BL[:, ::BLOCK]
    assert (np.repeat(rate_BK, BLOCK, axis=1)[:, :LENGTH] == rate_BL).all()
    assert (np.diff(rate_BK, axis=1) >= 0).all()
    assert 0.2 <= rate_BK.min() < 0.21 and 0.69 < rate_BK.max() <= 0.7 + 1e-6
    # The first is uniform; each of the five steps adds half of its share of what is left, on average.
    assert rate_BK[:, 0].mean() == pytest.approx(0.45, abs=0.01)
    assert rate_BK[:, -1].mean() == pytest.approx(0.45 + 0.25 / 2, abs=0.01)


def test_each_token_is_masked_at_the_rate_of_its_block(marks):
    rate_BL = 1 / marks.weights_BL["masked"]
    assert (marks.rows["masked"] == marks.masked_BL).all()
    np.testing.assert_allclose(marks.masked_BL.mean(axis=0), rate_BL.mean(axis=0), atol=0.03)
    # Tokens of a state are masked apart from each other.
    left_BL = marks.masked_BL - rate_BL
    assert abs((left_BL[:, 0] * left_BL[:, 1]).mean()) < 0.01


def test_one_block_and_one_rate():
    whole = objective(d2f={"rate_low": 0.3, "rate_high": 0.3}, states_per_trajectory=8)
    found = whole.mark(np.zeros((50, 4), dtype=np.int64), whole.draws("p", 4, 50, 0))
    assert found.weights_BL["masked"] == pytest.approx(1 / 0.3)
    with pytest.raises(ValidationError, match=r"rate_low: 0.8 is more than rate_high 0.7; use at most that"):
        DistillConfig(d2f={"rate_low": 0.8})


def test_draws_are_keyed():
    first = objective().draws("p", LENGTH, 5, 0)
    assert (first == objective().draws("p", LENGTH, 5, 0)).all()
    for other in (objective(seed=9).draws("p", LENGTH, 5, 0), objective().draws("q", LENGTH, 5, 0)):
        assert not set(first.tolist()) & set(other.tolist())


def test_the_loss_is_weighted_kl_to_the_teacher_and_nothing_where_they_agree():
    student_NV = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]])).requires_grad_()
    teacher_NV = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]))
    rows = Rows(student_NV, torch.tensor([0, 0]), teacher_NV, torch.tensor([4.0, 2.0]))
    parts = objective().loss([rows], lambda x: x, torch.tensor([2]))
    p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.7, 0.2, 0.1])
    assert parts.loss.item() == pytest.approx(4 * (p * (p / q).log()).sum().item() / 2, rel=1e-5)
    parts.loss.backward()
    torch.testing.assert_close(student_NV.grad[0], 2 * (q - p), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(student_NV.grad[1], torch.zeros(3), rtol=0, atol=1e-6)

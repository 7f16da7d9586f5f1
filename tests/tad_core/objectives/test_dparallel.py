"""Certainty forcing: complementary masks of one block, and entropy where the student is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tad_core.config import DistillConfig
from tad_core.objectives import make_objective
from tad_core.objectives.base import Rows
from tad_core.objectives.dparallel import TEMPERATURE, DParallelObjective, certainty_loss

LENGTH, BLOCK, STATES = 44, 16, 400  # the last block is shorter


def objective(**settings):
    return make_objective(DistillConfig(objective="dparallel", mask_block=BLOCK, **settings), None)


@pytest.fixture(scope="module")
def marks():
    made = objective()
    draws_B = made.draws("p", LENGTH, STATES, 0)
    return made.mark(np.zeros((STATES, LENGTH), dtype=np.int64), draws_B)


def test_two_inputs_learn_complementary_halves_of_one_block(marks):
    assert marks.masked_BL.shape == (2 * STATES, LENGTH)
    learned_BL, other_BL = marks.rows["masked"][:STATES], marks.rows["masked"][STATES:]
    assert not (learned_BL & other_BL).any()
    starts = set()
    for both_L in learned_BL | other_BL:
        (places,) = np.nonzero(both_L)
        assert places[0] % BLOCK == 0 and (np.diff(places) == 1).all()
        assert len(places) == min(BLOCK, LENGTH - places[0])
        starts.add(int(places[0]))
    assert starts == {0, 16, 32}  # and never a block behind the last
    assert learned_BL.sum() / (learned_BL | other_BL).sum() == pytest.approx(0.5, abs=0.03)


def test_before_the_block_all_is_shown_and_after_it_all_is_masked_and_not_learned(marks):
    both_BL = np.tile(marks.rows["masked"][:STATES] | marks.rows["masked"][STATES:], (2, 1))
    first_B1 = both_BL.argmax(1)[:, None]
    last_B1 = LENGTH - 1 - both_BL[:, ::-1].argmax(1)[:, None]
    position_1L = np.arange(LENGTH)[None, :]
    assert not marks.masked_BL[np.broadcast_to(position_1L < first_B1, both_BL.shape)].any()
    after_BL = np.broadcast_to(position_1L > last_B1, both_BL.shape)
    assert marks.masked_BL[after_BL].all() and not marks.rows["masked"][after_BL].any()
    inside_BL = both_BL & ~marks.rows["masked"]
    assert not marks.masked_BL[inside_BL].any()  # a token that is not learned is shown
    assert (marks.rows["certainty"] == marks.rows["masked"]).all()
    assert objective().totals(marks) == (int(marks.rows["masked"].sum()),) * 2


def test_draws_are_keyed_and_a_block_can_be_the_whole_response():
    first = objective().draws("p", LENGTH, 5, 0)
    assert (first == objective().draws("p", LENGTH, 5, 0)).all()
    assert not set(first.tolist()) & set(objective(seed=9).draws("p", LENGTH, 5, 0).tolist())
    whole = DParallelObjective(DistillConfig(objective="dparallel", mask_block=LENGTH))
    found = whole.mark(np.zeros((3, LENGTH), dtype=np.int64), whole.draws("p", LENGTH, 3, 0))
    assert (found.rows["masked"][:3] ^ found.rows["masked"][3:]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_entropy_and_its_gradient_are_those_of_autograd_on_right_tokens_and_nothing_on_wrong_ones(dtype):
    logits_NV = (3 * torch.randn(64, 11, generator=torch.Generator().manual_seed(1))).to(dtype)
    labels_N = torch.where(torch.arange(64) % 3 == 0, logits_NV.argmax(-1), (logits_NV.argmax(-1) + 1) % 11)
    right_N = torch.arange(64) % 3 == 0
    losses_N, gradient_NV = certainty_loss(logits_NV, labels_N)
    exact_NV = logits_NV.double().requires_grad_()
    expected_N = torch.distributions.Categorical(logits=exact_NV / TEMPERATURE).entropy()
    (expected_NV,) = torch.autograd.grad(expected_N[right_N].sum(), exact_NV)
    assert (losses_N[~right_N] == 0).all() and (gradient_NV[~right_N] == 0).all()
    torch.testing.assert_close(losses_N[right_N].double(), expected_N[right_N].detach(), rtol=1e-4, atol=1e-5)
    rounding = 1e-5 if dtype == torch.float32 else 2**-7
    torch.testing.assert_close(gradient_NV.double(), expected_NV, rtol=rounding, atol=rounding / 4)


def test_the_loss_is_cross_entropy_and_weighted_entropy_over_the_masked_tokens():
    logits_NV = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]))
    rows = Rows(logits_NV, torch.tensor([0, 0]))  # the first is right, the second is wrong
    parts = objective(weight_certainty=0.5).loss([rows, rows], lambda x: x, torch.tensor([4, 4]))
    p = torch.tensor([0.49, 0.04, 0.01]) / 0.54
    entropy, cross = -(p * p.log()).sum(), -torch.log(torch.tensor([0.7, 0.2])).sum()
    assert parts.loss.item() == pytest.approx(((cross + 0.5 * entropy) / 4).item(), rel=1e-5)
    assert parts.sums_T.tolist() == pytest.approx([cross.item(), entropy.item()], rel=1e-5)

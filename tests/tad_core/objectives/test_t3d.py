"""DDO against a snapshot, on one block of a trajectory, and the weights of its path."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tad_core.config import DistillConfig
from tad_core.objectives import make_objective
from tad_core.objectives.base import Rows
from tad_core.objectives.sft import uniforms
from tad_core.objectives.t3d import CHANCES, likelier, path_weights
from tad_core.trajectory.states import masked_at

LENGTH, STATES, VOCABULARY = 40, 4000, 9


def objective(**settings):
    return make_objective(DistillConfig(objective="t3d", mask_block=16, t3d=settings), None)


def loss_of(made, student_NV, snapshot_NV, labels_N, state_N, states, rows_per_chunk=1 << 30):
    """Loss and the sums of its terms; the path has weights of 1 over the rows of a state."""
    share_N = 1 / torch.bincount(state_N, minlength=states)[state_N].float()
    rows = [
        Rows(student_NV, labels_N, snapshot_NV, None, state_N, states) if term.needs_snapshot
        else Rows(student_NV, labels_N, weights_N=share_N)
        for term in made.terms
    ]  # fmt: skip
    totals_T = torch.full((3,), states)
    return made.loss(rows, lambda logits_NV: logits_NV, totals_T, rows_per_chunk)


def some_rows(seed=0):
    rng = torch.Generator().manual_seed(seed)
    student_NV, snapshot_NV = (torch.randn(7, VOCABULARY, generator=rng) * 2 for _ in range(2))
    labels_N = torch.randint(0, VOCABULARY, (7,), generator=rng)
    return student_NV.requires_grad_(), snapshot_NV, labels_N, torch.tensor([0, 0, 0, 1, 2, 2, 2])


def test_at_the_snapshot_the_loss_is_one_and_a_half_logarithms_of_two():
    student_NV, _, labels_N, state_N = some_rows()
    for alpha in (0.5, 0.2):
        made = objective(alpha=alpha, weight_path=0.0)
        found = loss_of(made, student_NV, student_NV.detach(), labels_N, state_N, 3)
        assert found.loss.item() == pytest.approx((1 + alpha) * math.log(2), abs=1e-6)


def test_its_gradient_raises_the_trajectory_and_lowers_the_snapshot():
    student_NV, _, _, state_N = some_rows()
    snapshot_NV = student_NV.detach()
    best_N = snapshot_NV.argmax(-1)
    labels_N = (best_N + 1) % VOCABULARY
    found = loss_of(objective(weight_path=0.0), student_NV, snapshot_NV, labels_N, state_N, 3)
    (gradient_NV,) = torch.autograd.grad(found.loss, student_NV)
    before_NV = snapshot_NV.log_softmax(-1)
    after_NV = (snapshot_NV - gradient_NV).log_softmax(-1)
    rows_N = torch.arange(7)
    assert (after_NV[rows_N, labels_N] > before_NV[rows_N, labels_N]).all()
    assert (after_NV[rows_N, best_N] < before_NV[rows_N, best_N]).all()


def test_where_both_name_the_same_tokens_half_of_the_difference_of_their_weights_is_left():
    student_NV, _, _, state_N = some_rows()
    snapshot_NV = student_NV.detach()
    labels_N = snapshot_NV.argmax(-1)
    found = loss_of(objective(weight_path=0.0), student_NV, snapshot_NV, labels_N, state_N, 3)
    (gradient_NV,) = torch.autograd.grad(found.loss, student_NV)
    mean = sum(
        torch.nn.functional.cross_entropy(student_NV[state_N == s], labels_N[state_N == s]) for s in range(3)
    )
    (expected_NV,) = torch.autograd.grad(mean / 3, student_NV)
    torch.testing.assert_close(gradient_NV, expected_NV * 0.1 * (1 - 0.5) / 2)


@pytest.mark.parametrize("rows_per_chunk", [1, 3, 100])
def test_the_loss_is_that_of_its_formula_and_of_autograd(rows_per_chunk):
    student_NV, snapshot_NV, labels_N, state_N = some_rows(4)
    made = objective(alpha=0.7, beta=0.9, weight_path=0.3)
    found = loss_of(made, student_NV, snapshot_NV, labels_N, state_N, 3, rows_per_chunk)
    total = torch.zeros(())
    for state in range(3):
        here = state_N == state
        now, before = (z[here].log_softmax(-1) for z in (student_NV, snapshot_NV))
        real, fake = (
            (now - before).gather(1, tokens[:, None]).mean()
            for tokens in (labels_N[here], snapshot_NV[here].argmax(-1))
        )
        path = -now.gather(1, labels_N[here][:, None]).mean()
        total = (
            total - torch.sigmoid(0.9 * real).log() - 0.7 * (1 - torch.sigmoid(0.9 * fake)).log() + 0.3 * path
        )
    assert found.loss.item() == pytest.approx(total.item() / 3, rel=1e-5)
    gradients = [torch.autograd.grad(loss, student_NV)[0] for loss in (found.loss, total / 3)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_however_far_the_two_are_apart_loss_and_slope_are_finite():
    """Where a sigmoid in float32 is 0 or 1, so that its logarithm is nothing."""
    loss_B, slope_B = likelier(0.5)(torch.tensor([4000.0, -4000.0, 0.0]))
    assert loss_B.tolist() == pytest.approx([2000.0, 0.0, math.log(2)])
    assert slope_B.tolist() == pytest.approx([0.5, 0.0, 0.25])


def marked(seed=3, **settings):
    rng = np.random.default_rng(seed)
    revealed_at_BL = np.stack([rng.permutation(LENGTH) + 1 for _ in range(STATES)])
    made = objective(**settings)
    return made, made.mark(revealed_at_BL, made.draws("p", LENGTH, STATES, 0)), revealed_at_BL


def test_of_one_block_the_tokens_revealed_last_are_masked_and_all_after_it():
    made, marks, revealed_at_BL = marked()
    shares = []
    for masked_L, chosen_L, revealed_at_L in zip(
        marks.masked_BL, marks.rows["real"], revealed_at_BL, strict=True
    ):
        start = int(np.flatnonzero(chosen_L)[0]) // 16 * 16
        block, rest = slice(start, start + 16), slice(start + 16, None)
        assert not masked_L[:start].any() and masked_L[rest].all() and not chosen_L[rest].any()
        inside_L = chosen_L[block]
        assert (masked_L[block] == inside_L).all()
        if not inside_L.all():
            assert revealed_at_L[block][~inside_L].max() < revealed_at_L[block][inside_L].min()
        shares.append(inside_L.mean())
    assert set(shares) <= {1.0, 0.75, 0.5, 0.25}
    assert np.mean(np.array(shares) == 1.0) == pytest.approx(CHANCES[0], abs=0.02)
    assert np.mean(np.array(shares) == 0.75) == pytest.approx(CHANCES[1], abs=0.02)
    assert marks.rows["fake"] is marks.rows["real"] and made.totals(marks) == (STATES,) * 3


def test_chances_are_eighth_powers():
    assert CHANCES.tolist() == pytest.approx([0.90577, 0.09068, 0.00354, 0.0000138], abs=2e-5)


def test_early_tokens_weigh_three_times_as_much_in_a_path_of_two_levels():
    rank_BL = np.array([[4, 0, 5, 1, 6, 2, 7, 3, 99, 99]])
    weights_BL = path_weights(rank_BL, rank_BL < 8, 4)
    early, late = weights_BL[rank_BL < 4], weights_BL[(rank_BL >= 4) & (rank_BL < 8)]
    assert early == pytest.approx(3 / 16) and late == pytest.approx(1 / 16)
    assert weights_BL[rank_BL == 99] == pytest.approx(0)


def test_a_state_weighs_the_same_in_any_company():
    """A level without a chosen token is none, and a short block has no more levels beside a long one."""
    rank_BL = np.stack([np.arange(8), np.where(np.arange(8) < 4, np.arange(8), 99), np.arange(8)])
    chosen_BL = np.stack([rank_BL[0] < 8, rank_BL[1] < 4, (rank_BL[2] >= 6)])
    together_BL = path_weights(rank_BL, chosen_BL, 2)
    for row in range(3):
        alone_BL = path_weights(rank_BL[row : row + 1], chosen_BL[row : row + 1], 2)
        assert together_BL[row] == pytest.approx(alone_BL[0])
        assert together_BL[row].sum() == pytest.approx(1)
    assert together_BL[2][6:] == pytest.approx(0.5)
    assert together_BL[1][:4] == pytest.approx([0.375, 0.375, 0.125, 0.125])


def test_in_a_trajectory_of_the_same_blocks_an_input_is_one_of_its_states():
    """Blocks of 8 do not divide 20: the last one has 4."""
    rng = np.random.default_rng(4)
    blocks = ((0, 8), (8, 8), (16, 4))
    revealed_at_BL = np.stack(
        [np.concatenate([rng.permutation(n) + 1 + first for first, n in blocks]) for _ in range(500)]
    )
    made = make_objective(DistillConfig(objective="t3d", mask_block=8), None)
    draws_B = made.draws("p", 20, 500, 0)
    marks = made.mark(revealed_at_BL, draws_B)
    for row, (block, level) in enumerate(uniforms(draws_B, 2)):
        first, size = blocks[int(block * 3)]
        share = [1.0, 0.75, 0.5, 0.25][int(np.sum(level >= np.cumsum(CHANCES)[:-1]))]
        step = first + size - int(size * share)
        assert (marks.masked_BL[row] == masked_at(revealed_at_BL[row], step)).all()
        assert marks.weights_BL["path"][row].sum() == pytest.approx(1)

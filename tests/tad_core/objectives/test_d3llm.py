"""Pseudo-trajectories: the teacher's order inside a block, complements, and curricula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tad_core.config import DistillConfig
from tad_core.objectives import make_objective
from tad_core.objectives.base import Rows
from tad_core.objectives.sft import uniforms
from tad_core.trajectory.states import masked_at

LENGTH, STATES = 40, 300


def objective(**settings):
    return make_objective(DistillConfig(objective="d3llm", **{"mask_blocks": [8, 16], **settings}), None)


def marked(progress, **settings):
    """The marks of many states of random orders, and those orders."""
    rng = np.random.default_rng(3)
    revealed_at_BL = np.stack([rng.permutation(LENGTH) + 1 for _ in range(STATES)])
    made = objective(**settings)
    return made.mark(revealed_at_BL, made.draws("p", LENGTH, STATES, 0), progress), revealed_at_BL


@pytest.mark.parametrize(("progress", "size"), [(0.0, 8), (0.25, 12), (0.49, 15), (0.5, 16), (0.99, 16)])
def test_the_tokens_revealed_last_are_masked_and_the_others_in_the_second_input(progress, size):
    marks, revealed_at_BL = marked(progress)
    late_BL, early_BL = marks.rows["masked"][:STATES], marks.rows["complement"][STATES:]
    assert not marks.rows["masked"][STATES:].any() and not marks.rows["complement"][:STATES].any()
    assert (marks.rows["certainty"] == marks.rows["masked"]).all()
    assert not (late_BL & early_BL).any()
    for late_L, early_L, revealed_at_L in zip(late_BL, early_BL, revealed_at_BL, strict=True):
        (places,) = np.nonzero(late_L | early_L)
        assert places[0] % size == 0 and (np.diff(places) == 1).all()
        assert len(places) == min(size, LENGTH - places[0])
        if late_L.any() and early_L.any():
            assert revealed_at_L[early_L].max() < revealed_at_L[late_L].min()


def test_before_the_block_all_is_shown_and_after_it_all_is_masked_and_not_learned():
    marks, _ = marked(0.3)
    learned_BL = marks.rows["masked"] | marks.rows["complement"]
    block_BL = np.tile(learned_BL[:STATES] | learned_BL[STATES:], (2, 1))
    position_1L = np.arange(LENGTH)[None, :]
    before_BL = position_1L < block_BL.argmax(1)[:, None]
    after_BL = ~before_BL & ~block_BL
    assert not marks.masked_BL[before_BL].any() and marks.masked_BL[after_BL].all()
    assert (marks.masked_BL[block_BL] == learned_BL[block_BL]).all()


def test_the_least_share_grows_over_the_run_and_the_most_stays():
    shares = {}
    for progress in (0.0, 0.5, 1.0):
        marks, _ = marked(progress, mask_blocks=[LENGTH], mask_ratio=0.8)
        shares[progress] = marks.rows["masked"][:STATES].mean(1)
    one = 1 / LENGTH  # what is shown is rounded down
    assert shares[0.0].min() < 0.05 + one and shares[0.0].mean() == pytest.approx(0.4, abs=0.04)
    assert shares[0.5].min() >= 0.4 and shares[0.5].mean() == pytest.approx(0.6, abs=0.04)
    assert shares[1.0].min() >= 0.8 - 1e-9
    assert all(found.max() <= 0.8 + one + 1e-9 for found in shares.values())


def by_epochs(sizes, epoch):
    """The paper's curriculum read aloud: a length an epoch, linear to the next one's, the last one to the end."""
    now = min(int(epoch), len(sizes) - 1)
    if now == len(sizes) - 1:
        return sizes[now]
    return int(sizes[now] + (epoch - now) * (sizes[now + 1] - sizes[now]))


@pytest.mark.parametrize("sizes", [[16, 16, 24, 24, 32, 32], [16, 24, 32], [9], [32, 8]])
def test_blocks_grow_as_in_a_run_of_an_epoch_for_each_length(sizes):
    made = objective(mask_blocks=sizes)
    for eighth in range(8 * len(sizes)):
        epoch = eighth / 8
        assert made.block_at(epoch / len(sizes)) == by_epochs(sizes, epoch), epoch
    assert made.block_at(1.0) == sizes[-1]


def test_for_dream_the_second_input_is_pressed_too_with_a_mean_of_its_own():
    made = objective(complement_certainty=True, weight_certainty=1.5)
    assert [(term.name, term.weight) for term in made.terms] == [
        ("masked", 1.0), ("complement", 1.0), ("certainty", 1.5), ("certainty_complement", 1.5),
    ]  # fmt: skip
    marks, _ = marked(0.0, complement_certainty=True)
    assert (marks.rows["certainty_complement"] == marks.rows["complement"]).all()
    _, early, _, certain = made.totals(marks)
    assert certain == early > 0
    assert [term.name for term in objective().terms] == ["masked", "complement", "certainty"]


def test_each_input_has_its_own_mean():
    marks, _ = marked(0.0)
    late, early, certain = objective().totals(marks)
    assert (late, early) == (int(marks.rows["masked"].sum()), int(marks.rows["complement"].sum()))
    assert certain == late and late != early


def test_the_loss_is_two_means_of_cross_entropy_and_the_entropy_of_what_is_right():
    """By hand: the first input has a right token and a wrong one, the second a right one."""
    logits = [
        torch.log(torch.tensor(rows)) for rows in ([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]], [[0.5, 0.25, 0.25]])
    ]
    first, second = (Rows(z, torch.zeros(len(z), dtype=torch.long)) for z in logits)
    p = torch.tensor([0.49, 0.04, 0.01]) / 0.54
    q = torch.tensor([0.25, 0.0625, 0.0625]) / 0.375
    cross = -torch.log(torch.tensor([0.7, 0.2])).mean() - math.log(0.5)
    entropy, other = -(p * p.log()).sum() / 2, -(q * q.log()).sum()
    for more in (False, True):
        made = objective(weight_certainty=1.5, complement_certainty=more)
        rows, totals = [first, second, first, second], torch.tensor([2, 1, 2, 1])
        count = len(made.terms)
        parts = made.loss(rows[:count], lambda z: z, totals[:count])
        expected = cross + 1.5 * (entropy + (other if more else 0))
        assert parts.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_in_a_trajectory_of_the_same_blocks_a_first_input_is_one_of_its_states():
    """As the public code reads it: of a block of 8, int((1 - share) 8) are shown."""
    rng = np.random.default_rng(4)
    revealed_at_BL = np.stack(
        [np.concatenate([rng.permutation(8) + 1 + 8 * block for block in range(5)]) for _ in range(STATES)]
    )
    made = objective(mask_blocks=[8], mask_ratio=0.8)
    draws_B, progress = made.draws("p", LENGTH, STATES, 0), 0.25
    masked_BL = made.mark(revealed_at_BL, draws_B, progress).masked_BL[:STATES]
    for masked_L, revealed_at_L, (block, share) in zip(
        masked_BL, revealed_at_BL, uniforms(draws_B, 2), strict=True
    ):
        start = int(block * 5) * 8
        shown = int((1 - (0.2 + share * (0.8 - 0.2))) * 8)  # uniform from progress * ratio to ratio
        assert (masked_L == masked_at(revealed_at_L, start + shown)).all()

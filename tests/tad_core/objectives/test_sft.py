"""Random masks and the 1/t weight of plain fine-tuning."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tad_core.config import DistillConfig
from tad_core.objectives import make_objective
from tad_core.objectives.base import Rows
from tad_core.objectives.sft import MIN_RATE, SFTObjective, uniforms
from tad_core.objectives.tad import TADObjective


def objective(seed=1):
    return SFTObjective(DistillConfig(objective="sft", seed=seed))


def test_uniforms_depend_on_their_seed_alone_and_are_uniform():
    seeds_B = np.array([5, 6, 7], dtype=np.int64)
    noise = uniforms(seeds_B, 4000)
    assert (uniforms(seeds_B[1:2], 4000)[0] == noise[1]).all()
    assert noise.min() >= 0 and noise.max() < 1
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, abs=0.005)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.05  # neighbouring seeds do not follow each other


def test_splitmix_is_the_published_one():
    # First output of SplitMix64 for seed 1234567: 6457827717110365317.
    assert uniforms(np.array([1234567]), 1)[0, 0] == (6457827717110365317 >> 11) * 2.0**-53


def test_rate_weight_and_mask_agree():
    length, states = 400, 300
    draws_B = objective().draws("p", length, states, epoch=0)
    marks = objective().mark(np.zeros((states, length), dtype=np.int64), draws_B)
    rate_B = 1 / marks.weight_B
    assert rate_B.min() >= MIN_RATE and rate_B.max() <= 1
    assert rate_B.mean() == pytest.approx(0.5, abs=0.06)
    assert np.abs(marks.masked_BL.mean(1) - rate_B).max() < 0.12
    assert marks.rows.keys() == {"masked"} and (marks.rows["masked"] == marks.masked_BL).all()


def test_divided_by_all_response_tokens_so_that_the_mean_is_unbiased():
    length, states, vocabulary = 50, 2000, 7
    marks = objective().mark(
        np.zeros((states, length), dtype=np.int64), objective().draws("p", length, states, 0)
    )
    assert objective().totals(marks) == (states * length,)
    count = int(marks.rows["masked"].sum())
    weights_N = torch.from_numpy(marks.weight_B[np.nonzero(marks.rows["masked"])[0]])
    rows = Rows(torch.zeros(count, vocabulary), torch.zeros(count, dtype=torch.long), None, weights_N)
    totals_T = torch.tensor([states * length])
    parts = objective().loss([rows], lambda x: x, totals_T)
    # Every token costs log V; a 1/p weight on tokens masked with probability p leaves the mean where it is.
    assert parts.loss.item() == pytest.approx(math.log(vocabulary), rel=0.03)


def test_draws_are_keyed():
    draws = objective().draws("p", 10, 5, 0)
    assert (draws == objective().draws("p", 99, 5, 0)).all()
    for other in (
        objective().draws("q", 10, 5, 0),
        objective().draws("p", 10, 5, 1),
        objective(2).draws("p", 10, 5, 0),
    ):
        assert not set(draws.tolist()) & set(other.tolist())


def test_make_objective_names():
    assert isinstance(make_objective(DistillConfig(objective="sft"), None), SFTObjective)
    assert isinstance(make_objective(DistillConfig(), 3), TADObjective)

"""The loss by hand, its limits, and the partition against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError
from tad_core.objectives.base import Rows
from tad_core.objectives.tad import TADObjective, hard_loss, partition_batch, soft_loss
from tad_core.trajectory.states import partition


def identity(logits):
    return logits


def log(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float32).log()


def rows(student, labels, teacher=None):
    return Rows(student, torch.tensor(labels), teacher)


def test_hard_loss_by_hand():
    logits_NV = torch.stack([log(0.7, 0.2, 0.1), log(0.25, 0.5, 0.25) + 3.0])  # a constant does not matter
    loss_N, _ = hard_loss(logits_NV, torch.tensor([1, 0]))
    torch.testing.assert_close(loss_N, torch.tensor([-math.log(0.2), -math.log(0.25)]))


def test_soft_loss_by_hand_is_forward_kl():
    teacher, student = (0.5, 0.25, 0.25), (0.1, 0.1, 0.8)
    by_hand = sum(p * math.log(p / q) for p, q in zip(teacher, student, strict=True))
    assert soft_loss(log(*student)[None], log(*teacher)[None])[0].item() == pytest.approx(by_hand, rel=1e-5)
    backward = sum(q * math.log(q / p) for p, q in zip(teacher, student, strict=True))
    assert abs(by_hand - backward) > 0.01  # the direction shows


def test_temperature_by_hand():
    student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 0.0]])
    # At temperature 2 the logits are (0, 1) and (1, 0): p = 1 / (1 + e), KL = (1 - 2p), times 4.
    p = 1 / (1 + math.e)
    assert soft_loss(student, teacher, 2.0)[0].item() == pytest.approx(4 * (1 - 2 * p), rel=1e-5)


def test_soft_loss_is_zero_at_equality_and_positive_elsewhere():
    generator = torch.Generator().manual_seed(0)
    logits_NV = torch.randn(50, 11, generator=generator) * 5
    assert soft_loss(logits_NV, logits_NV, 0.7)[0].abs().max() == 0
    assert soft_loss(logits_NV, logits_NV.roll(1, 0), 0.7)[0].min() > 0


def hard_by_autograd(student_NV, _, labels_N):
    return F.cross_entropy(student_NV, labels_N, reduction="none")


def soft_by_autograd(temperature):
    def loss(student_NV, teacher_NV, _):
        log_student, log_teacher = (F.log_softmax(z / temperature, -1) for z in (student_NV, teacher_NV))
        return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1) * temperature**2

    return loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["hard", "soft", "tempered"])
def test_losses_and_gradients_are_those_of_autograd_in_float64(kind, dtype):
    generator = torch.Generator().manual_seed(2)
    student_NV, teacher_NV = ((torch.randn(40, 17, generator=generator) * 6).to(dtype) for _ in range(2))
    labels_N = torch.randint(0, 17, (40,), generator=generator)
    ours, reference = {
        "hard": (hard_loss(student_NV, labels_N), hard_by_autograd),
        "soft": (soft_loss(student_NV, teacher_NV), soft_by_autograd(1.0)),
        "tempered": (soft_loss(student_NV, teacher_NV, 1.7), soft_by_autograd(1.7)),
    }[kind]
    exact_NV = student_NV.double().requires_grad_()
    expected_N = reference(exact_NV, teacher_NV.double(), labels_N)
    (gradient_NV,) = torch.autograd.grad(expected_N.sum(), exact_NV)
    torch.testing.assert_close(ours[0].double(), expected_N.detach(), rtol=1e-5, atol=1e-5)
    assert ours[0].dtype == torch.float32 and ours[1].dtype == dtype
    rounding = 1e-6 if dtype == torch.float32 else 2**-8
    torch.testing.assert_close(ours[1].double(), gradient_NV, rtol=rounding, atol=max(rounding / 8, 1e-6))


def tad(**settings):
    return TADObjective(DistillConfig(**settings), window=2)


def test_parts_are_token_means_and_lambda_weighs_the_distant_one():
    near = rows(torch.stack([log(0.5, 0.5), log(0.1, 0.9), log(0.8, 0.2)]), [0, 0, 0])
    distant = rows(log(0.5, 0.5)[None], [1], log(0.9, 0.1)[None])
    ce = -(math.log(0.5) + math.log(0.1) + math.log(0.8)) / 3
    kl = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    parts = tad(weight_distant=0.5).loss([near, distant], identity, torch.tensor([3.0, 1.0]))
    assert parts.loss.item() == pytest.approx(ce + 0.5 * kl, rel=1e-5)
    assert parts.sums_T.tolist() == pytest.approx([3 * ce, kl], rel=1e-5)


@pytest.mark.parametrize(
    ("near_kind", "distant_kind", "expected"),
    [
        ("hard", "hard", -math.log(0.5) - math.log(0.2)),
        ("hard", "none", -math.log(0.5)),
        ("soft", "none", 0.6 * math.log(0.6 / 0.5) + 0.4 * math.log(0.4 / 0.5)),
    ],
)
def test_kinds(near_kind, distant_kind, expected):
    near = rows(log(0.5, 0.5)[None], [0], log(0.6, 0.4)[None])
    distant = rows(log(0.8, 0.2)[None], [1], log(0.3, 0.7)[None])
    objective = tad(near=near_kind, distant=distant_kind)
    chosen = [near, distant][: len(objective.terms)]
    parts = objective.loss(chosen, identity, torch.ones(len(chosen)))
    assert len(chosen) == (1 if distant_kind == "none" else 2)
    assert parts.loss.item() == pytest.approx(expected, rel=1e-5)


def test_taught_tokens_are_those_the_teacher_finds_likeliest():
    """The trajectory has token 1 where the teacher would have 0."""
    near = rows(log(0.7, 0.3)[None], [1], log(0.6, 0.4)[None])
    objective = tad(near="taught", distant="none")
    assert objective.needs_teacher
    parts = objective.loss([near], identity, torch.ones(1))
    assert parts.loss.item() == pytest.approx(-math.log(0.7), rel=1e-5)


def test_empty_parts_are_zero_and_still_differentiable():
    logits_NV = torch.randn(4, 3, requires_grad=True)
    none = Rows(logits_NV[:0], torch.empty(0, dtype=torch.long), torch.empty(0, 3))
    parts = tad().loss([none, none], identity, torch.tensor([0.0, 0.0]))
    parts.loss.backward()
    assert parts.loss.item() == 0
    assert logits_NV.grad is not None and logits_NV.grad.abs().max() == 0


@given(st.integers(1, 6), st.integers(0, 2**31 - 1))
def test_shares_of_micro_batches_add_up_to_the_big_batch(cuts, seed):
    generator = torch.Generator().manual_seed(seed)
    student_NV = torch.randn(12, 5, generator=generator, requires_grad=True)
    teacher_NV = torch.randn(12, 5, generator=generator)
    labels_N = torch.randint(0, 5, (12,), generator=generator)
    is_near_N = torch.rand(12, generator=generator) < 0.5
    totals_T = torch.tensor([is_near_N.sum(), (~is_near_N).sum()]).float()
    loss = tad(temperature=1.3, weight_distant=0.7).loss

    def share(part_N):
        chosen = [part_N[is_near_N[part_N]], part_N[~is_near_N[part_N]]]
        parts = [Rows(student_NV[i], labels_N[i], teacher_NV[i]) for i in chosen]
        return loss(parts, identity, totals_T).loss

    everything = torch.arange(12)
    (whole_grad,) = torch.autograd.grad(share(everything), student_NV)
    parts_grad = sum(torch.autograd.grad(share(p), student_NV)[0] for p in everything.tensor_split(cuts))
    torch.testing.assert_close(parts_grad, whole_grad, rtol=1e-4, atol=1e-6)


@given(st.integers(2, 20), st.integers(1, 30), st.integers(0, 2**31 - 1))
def test_partition_of_a_batch_is_the_definition_row_by_row(length, window, seed):
    rng = np.random.default_rng(seed)
    revealed_at_BL = np.stack([rng.permutation(length) + 1 for _ in range(4)])
    steps_B = rng.integers(0, length, size=4)
    near_BL, distant_BL = partition_batch(revealed_at_BL, steps_B, window)
    for b, step in enumerate(steps_B):
        near_L, distant_L = partition(revealed_at_BL[b], int(step), window)
        assert (near_BL[b] == near_L).all() and (distant_BL[b] == distant_L).all()
        masked_L = revealed_at_BL[b] > step
        assert not (near_BL[b] & distant_BL[b]).any()
        assert ((near_BL[b] | distant_BL[b]) == masked_L).all()
        assert near_BL[b].sum() == min(window, length - step)  # the clamp at the end
        assert distant_BL[b].any() == (step + window < length)


def test_draws_are_distinct_steps_of_the_name_and_epoch_alone():
    objective = TADObjective(DistillConfig(seed=3), window=4)
    draws = objective.draws("a/0", length=50, count=10, epoch=0)
    assert len(set(draws.tolist())) == 10 and draws.min() >= 0 and draws.max() < 50
    assert (draws == objective.draws("a/0", 50, 10, 0)).all()
    others = [objective.draws("b/0", 50, 10, 0), objective.draws("a/0", 50, 10, 1)]
    others.append(TADObjective(DistillConfig(seed=4), window=4).draws("a/0", 50, 10, 0))
    assert all((draws != other).any() for other in others)
    assert objective.draws("a/0", 12, 99, 0).tolist() == list(range(12))


@pytest.mark.parametrize(
    ("near", "distant", "needs"), [("hard", "soft", True), ("hard", "none", False), ("soft", "none", True)]
)
def test_the_teacher_runs_only_when_it_is_needed(near, distant, needs):
    objective = TADObjective(DistillConfig(near=near, distant=distant), window=2)
    assert objective.needs_teacher is needs


@pytest.mark.parametrize("window", [None, 0])
def test_a_window_is_needed(window):
    with pytest.raises(ConfigError, match="window"):
        TADObjective(DistillConfig(), window)

"""Temporal-aware distillation: the loss of the paper (section 3.3, eq. 10 to 14), as pure functions.

Near tokens (revealed within the window) get hard cross-entropy on the trajectory's token; distant ones get the
forward KL from the privileged teacher. Both are means over *tokens*, not over states, and the mean is taken over
the whole optimizer step: the sums of all micro-batches and devices are divided by the counts of the step.

Shapes: B states, L response positions, N rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError
from tad_core.objectives.base import BoolArray, FloatArray, IntArray, Marks, Objective, RowLoss, Term
from tad_core.objectives.emphasis import Emphasis, stage_of
from tad_core.objectives.following import FollowedWindow
from tad_core.trajectory.states import sample_steps


def hard_loss(student_NV: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy ``[N]`` on the trajectory's tokens in nats, and its gradient ``[N, V]``.

    ``d/dz (logsumexp(z) - z_label) = softmax(z) - onehot(label)``. Computed in float32 whatever the logits are.

    Args:
        student_NV: logits.
        labels_N: token ids.

    Returns:
        The losses in float32, and their gradient with respect to the logits, in the logits' dtype.
    """
    log_NV = torch.log_softmax(student_NV, dim=-1, dtype=torch.float32)
    index_N1 = labels_N[:, None]
    losses_N = -log_NV.gather(1, index_N1)[:, 0]
    is_label_NV = torch.arange(log_NV.shape[1], device=log_NV.device) == index_N1
    gradient_NV = log_NV.exp() - is_label_NV.float()
    return losses_N, gradient_NV.to(student_NV.dtype)


def soft_loss(student_NV: Tensor, teacher_NV: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Forward KL(teacher || student) ``[N]`` of the tempered distributions, times temperature squared; its gradient.

    With p and q the softmax of z / T of teacher and student, ``d/dz T^2 KL(p || q) = T (q - p)``. In float32.

    Args:
        student_NV: logits.
        teacher_NV: logits of the same tokens, of the same shape.
        temperature: T, above 0.

    Returns:
        The losses in nats and float32, and their gradient ``[N, V]`` with respect to the student's logits, in their
        dtype.
    """
    if temperature != 1.0:
        student, teacher = (logits.float() / temperature for logits in (student_NV, teacher_NV))
    else:
        student, teacher = student_NV, teacher_NV
    log_student_NV = torch.log_softmax(student, dim=-1, dtype=torch.float32)
    log_teacher_NV = torch.log_softmax(teacher, dim=-1, dtype=torch.float32)
    teacher_NV = log_teacher_NV.exp()
    losses_N = (teacher_NV * (log_teacher_NV - log_student_NV)).sum(-1) * temperature**2
    gradient_NV = (log_student_NV.exp() - teacher_NV) * temperature
    return losses_N, gradient_NV.to(student_NV.dtype)


def partition_batch(revealed_at_BL: IntArray, steps_B: IntArray, window: int) -> tuple[BoolArray, BoolArray]:
    """Near and distant sets of many states at once; row by row what ``trajectory.states.partition`` says."""
    last = revealed_at_BL.shape[1]
    masked_BL = revealed_at_BL > steps_B[:, None]
    near_BL = masked_BL & (revealed_at_BL <= np.minimum(steps_B + window, last)[:, None])
    return near_BL, masked_BL & ~near_BL


@cache
def fused(loss: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    """A loss compiled, so that nothing of it but its results is written to memory; the same up to rounding."""
    compiled: Callable[..., tuple[Tensor, Tensor]] = torch.compile(loss, dynamic=True)
    return compiled


#: what rows of a term are held to: the trajectory's tokens, the teacher's distribution, or its likeliest tokens
Held = Literal["hard", "soft", "taught"]


def row_loss(kind: Held, temperature: float, compiled: bool) -> RowLoss:
    """Cross-entropy on labels or on the teacher's likeliest tokens, or KL to the teacher, as a term has it."""
    hard_rows = fused(hard_loss) if compiled else hard_loss
    soft_rows = fused(soft_loss) if compiled else soft_loss

    def hard(student_NV: Tensor, _: Tensor | None, labels_N: Tensor) -> tuple[Tensor, Tensor]:
        return hard_rows(student_NV, labels_N)

    def soft(student_NV: Tensor, teacher_NV: Tensor | None, _: Tensor) -> tuple[Tensor, Tensor]:
        assert teacher_NV is not None, "a soft loss is given teacher rows"
        return soft_rows(student_NV, teacher_NV, temperature)

    def taught(student_NV: Tensor, teacher_NV: Tensor | None, _: Tensor) -> tuple[Tensor, Tensor]:
        assert teacher_NV is not None, "a loss on the teacher's tokens is given its rows"
        return hard_rows(student_NV, teacher_NV.argmax(-1))

    return {"hard": hard, "soft": soft, "taught": taught}[kind]


class TADObjective(Objective):
    """States of the teacher's own trajectories, split by the window.

    Its ablations are settings: hard or soft near tokens, soft, hard or no distant ones (``near``, ``distant``), and a
    teacher without the reference (``teacher_prompt: plain``). Beyond the paper are near tokens as the teacher would
    have them (``near: taught``), a window that follows the student (``follow``), near tokens that are learned softly at
    first (``soften_near``: both losses, their weights add up to 1) and states that weigh by where the loss is
    (``emphasis``).
    """

    def __init__(self, config: DistillConfig, window: int | None, compiled: bool = False) -> None:
        if window is None or window < 1:
            raise ConfigError(f"window: {window!r}; the tad objective needs a window of at least 1 step")
        self.window, self.seed, self.soft_until = window, config.seed, config.soften_near

        def term(name: str, kind: Held, weight: float) -> Term:
            return Term(name, row_loss(kind, config.temperature, compiled), weight, kind != "hard")

        self.terms = (term("near", config.near, 1.0),)
        if self.soft_until:
            self.terms += (term("near_soft", "soft", 1.0),)
        if config.distant != "none":
            self.terms += (term("distant", config.distant, config.weight_distant),)
        self.following = FollowedWindow(window, config.follow) if config.follow.steps else None
        weights = {term.name: term.weight for term in self.terms}
        self.emphasis = Emphasis(config.emphasis, weights) if config.emphasis else None
        self.learners = [learner for learner in (self.following, self.emphasis) if learner is not None]

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """Distinct steps 0 to L - 1 of one trajectory."""
        return sample_steps(f"tad/{self.seed}/{epoch}/{name}", length, count)

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """A draw is the step of the state."""
        window = self.following.at(progress) if self.following else self.window
        near_BL, distant_BL = partition_batch(revealed_at_BL, draws_B, window)
        rows, weights = {"near": near_BL, "distant": distant_BL}, dict[str, FloatArray]()
        if self.soft_until:
            soft = max(0.0, 1 - progress / self.soft_until)
            rows["near_soft"] = near_BL & (soft > 0)
            shares = (("near", 1 - soft), ("near_soft", soft))
            weights = {name: np.full(near_BL.shape, share, dtype=np.float32) for name, share in shares}
        bins = dict[str, IntArray]()
        if self.following:
            bins[self.following.account] = self.following.bins(revealed_at_BL, draws_B)
        if self.emphasis:
            stage_B = stage_of(draws_B, near_BL.shape[1])
            bins[self.emphasis.account] = np.broadcast_to(stage_B[:, None], near_BL.shape)
        return Marks(near_BL | distant_BL, rows, weights_BL=weights, bins_BL=bins)

"""T3D: direct discriminative optimization (DDO) on one block of a trajectory, and its path (2026), for models whose
attention looks both ways.

Of a random block of the response most tokens are masked, what is before it is shown, and what is after it is masked and
not learned. With l(y) the mean log-probability that a model gives the masked tokens y of a state,

    real = -log sigmoid(beta (l(y) - l_ref(y)))             the trajectory's tokens, which are to become likelier
    fake = -log(1 - sigmoid(beta (l(y') - l_ref(y'))))      y', the best tokens of ref, which are to become less likely
    loss = real + alpha fake + weight_path path

where ref is the student itself as it was up to ``snapshot_steps`` steps before, and path is cross-entropy in which the
tokens that the teacher revealed early in the block weigh more: the mean, over n = k, 2k, ..., of that of the first n.

What differs from the public code, on purpose:

- The code lays a clean and a noisy copy of the answer side by side under a block mask. A bidirectional model would read
  the clean one through it; here one block is learned at a time.
- Both logarithms are written as softplus. The code's ``log(1 - sigmoid(x))`` loses its digits as x grows, and is at
  last -inf.
- Of a block masked in part the tokens are masked that the teacher revealed last, which is a state of a decoding.
  The code masks those that it revealed first, and every tenth of them is a random token in place of a mask.
- How much is masked is drawn for each state of each epoch. The code draws it once a datum, for all thirty epochs.
- path is that of masked tokens; the code learns also those that the model reads.
- End-of-text that fills a response up is learned as the other objectives learn it (``filled_states``); the code keeps
  two of it.
- Adapters are trained; the code trains all weights.
- ref is taken anew after optimizer steps; the code's comment says epochs, and its accumulation counter is off by one.

Shapes: B states, L response positions, N rows, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tad_core.config import DistillConfig
from tad_core.objectives.base import BoolArray, FloatArray, IntArray, Joined, Marks, Objective, RowLoss, Term
from tad_core.objectives.blocks import rank_inside, sampled_block
from tad_core.objectives.sft import uniforms
from tad_core.objectives.tad import fused, hard_loss, row_loss
from tad_core.rng import generator

#: shares of a block that are masked, and how likely each is
SHARES = np.array([1.0, 0.75, 0.5, 0.25])
CHANCES = SHARES**8 / (SHARES**8).sum()


def real_loss(student_NV: Tensor, snapshot_NV: Tensor | None, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """How much less likely the student finds the trajectory's tokens than its snapshot does, nats ``[N]``; gradient."""
    assert snapshot_NV is not None, "a term that needs the snapshot is given its rows"
    losses_N, gradient_NV = hard_loss(student_NV, labels_N)
    return losses_N - hard_loss(snapshot_NV, labels_N)[0], gradient_NV


def fake_loss(student_NV: Tensor, snapshot_NV: Tensor | None, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """The same of the tokens that the snapshot finds likeliest; the trajectory's are not read."""
    del labels_N
    assert snapshot_NV is not None, "a term that needs the snapshot is given its rows"
    return real_loss(student_NV, snapshot_NV, snapshot_NV.argmax(-1))


def likelier(beta: float) -> Joined:
    """``-log sigmoid(-beta x)`` of the mean x by which tokens are less likely than before, and its derivative."""

    def joined(mean_B: Tensor) -> tuple[Tensor, Tensor]:
        return F.softplus(beta * mean_B), beta * torch.sigmoid(beta * mean_B)

    return joined


class T3DObjective(Objective):
    """The trajectory's tokens against those of the student's own snapshot, and the path through the block."""

    def __init__(self, config: DistillConfig, window: int | None = None, compiled: bool = False) -> None:
        del window
        settings = config.t3d
        self.seed, self.block, self.path_steps = config.seed, config.mask_block, settings.path_steps
        self.snapshot_steps = settings.snapshot_steps

        def ddo(name: str, loss: RowLoss, beta: float, weight: float) -> Term:
            rows = fused(loss) if compiled else loss
            return Term(name, rows, weight, needs_snapshot=True, joined=likelier(beta))

        self.terms = (
            ddo("real", real_loss, settings.beta, 1.0),
            ddo("fake", fake_loss, -settings.beta, settings.alpha),  # these are to become less likely
            Term("path", row_loss("hard", 1.0, compiled), settings.weight_path),
        )

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """A draw is the seed of one block and one share."""
        del length
        return generator("t3d", self.seed, epoch, name).integers(0, 1 << 62, size=count, dtype=np.int64)

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """The block is the first number of a seed, the share the second."""
        del progress
        noise_B2 = uniforms(draws_B, 2)
        block_BL, after_BL = sampled_block(noise_B2[:, :1], revealed_at_BL.shape[1], self.block)
        share_B = SHARES[np.searchsorted(np.cumsum(CHANCES)[:-1], noise_B2[:, 1], side="right")]
        size_B = block_BL.sum(1)
        shown_B = size_B - np.maximum((size_B * share_B).astype(np.int64), 1)
        rank_BL = rank_inside(revealed_at_BL, block_BL)
        chosen_BL = block_BL & (rank_BL >= shown_B[:, None])
        weights_BL = path_weights(rank_BL, chosen_BL, self.path_steps)
        rows = {term.name: chosen_BL for term in self.terms}
        return Marks(chosen_BL | after_BL, rows, weights_BL={"path": weights_BL})

    def totals(self, marks: Marks) -> tuple[int, ...]:
        """States: the weights of the path add up to 1 in each."""
        return (len(marks.masked_BL),) * len(self.terms)


def path_weights(rank_BL: IntArray, chosen_BL: BoolArray, steps: int) -> FloatArray:
    """What each chosen token weighs in the path, ``[B, L]``; 1 in all for a state.

    Level n has the chosen ones of rank below (n + 1) ``steps``. Its loss is their mean, that of the path the mean over
    the levels that have any.
    """
    last_B1 = np.where(chosen_BL, rank_BL, 0).max(1, keepdims=True) // steps
    weights_BL = np.zeros(chosen_BL.shape, dtype=np.float64)
    levels_B1 = np.zeros((len(chosen_BL), 1))
    for level in range(int(last_B1.max()) + 1):
        # A state of a shorter block has fewer levels, whatever its company has.
        inside_BL = chosen_BL & (rank_BL < (level + 1) * steps) & (level <= last_B1)
        count_B1 = inside_BL.sum(1, keepdims=True)
        weights_BL += inside_BL / np.maximum(count_B1, 1)
        levels_B1 += count_B1 > 0
    return (weights_BL / np.maximum(levels_B1, 1)).astype(np.float32)

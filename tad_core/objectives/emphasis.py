"""States weigh by where the loss is; beyond the paper, in which all states weigh alike.

A trajectory is cut into stages of as many steps each. The running mean of the loss is kept for every stage, and a state
weighs what its stage's mean is over that of all stages, to a power; the mean weight of the stages is 1. This is no
importance sampling: what is minimised is another mean, in which hard stages count more, and not an estimate of the same
with less variance.

Shapes: K stages, T terms, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tad_core.objectives.base import IntArray
from tad_core.objectives.learner import Learner
from tad_core.objectives.tally import AddUp, Tally

#: stages of a trajectory
STAGES = 16
#: what is left of a step's share in the running mean after another step; half of it after 14
DECAY = 0.95


def stage_of(steps_B: IntArray, length: int) -> IntArray:
    """The stage of a state by its step, 0 to ``STAGES`` - 1."""
    return steps_B * STAGES // length


class Emphasis(Learner):
    """Weights of stages, from the losses of the terms in them; 1 before anything is seen."""

    account = "stage"

    def __init__(self, power: float, term_weights: Mapping[str, float]) -> None:
        self._power, self._term_weights = power, term_weights
        self._tallies = {term: Tally(STAGES, DECAY) for term in term_weights}
        self.weights_K = torch.ones(STAGES)

    def watch(self, term: str, bin_N: Tensor, logits_NV: Tensor, labels_N: Tensor, losses_N: Tensor) -> None:
        """Count the losses."""
        self._tallies[term].add(bin_N, losses_N)

    def weights(self, bin_N: Tensor) -> Tensor:
        """The weight of each row."""
        self.weights_K = self.weights_K.to(bin_N.device)
        # Here and not where losses are counted: a term may have no row for a whole step.
        for tally in self._tallies.values():
            tally.to(bin_N.device)
        return self.weights_K[bin_N]

    def after_step(self, done: int, steps: int, add_up: AddUp) -> None:
        """The next step has other weights."""
        for tally in self._tallies.values():
            tally.close_step(add_up)
        self._weigh()

    def _weigh(self) -> None:
        means = {term: tally.means() for term, tally in self._tallies.items()}
        loss_K = torch.stack([self._term_weights[term] * mean_K for term, (mean_K, _) in means.items()]).sum(
            0
        )
        seen_K = torch.stack([count_K for _, count_K in means.values()]).sum(0) > 0
        share_K = loss_K.clamp(min=0) ** self._power * seen_K
        mean = share_K.sum() / seen_K.sum().clamp(min=1)
        # No look at a value: the host does not wait for the device.
        self.weights_K = torch.where(seen_K & (mean > 0), share_K / mean.clamp(min=1e-300), 1.0).float()

    def state(self) -> dict[str, Tensor]:
        """What a resumed run has to know."""
        return {term: tally.sums_2K for term, tally in self._tallies.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse."""
        for term, tally in self._tallies.items():
            tally.sums_2K = state[term].clone()
        self._weigh()

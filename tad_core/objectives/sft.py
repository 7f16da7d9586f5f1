"""Random masks: the masked-diffusion loss of LLaDA, over the references or over the teacher's kept answers.

On references it is plain fine-tuning, the baseline of every comparison. On kept trajectories (objective ``random``) it
is what TAD is without the order in which its teacher revealed the tokens; which tokens count as filled in is then as in
TAD, and a trajectory has as many draws as TAD has states of it.

For every state a masking rate p is drawn uniformly, each response token is masked with probability p, and the
cross-entropy of the masked tokens is weighted 1/p and divided by *all* response tokens, masked or not (Nie et al.
2025, eq. 5 and algorithm 2). End-of-text padding is learned like any other token.

Shapes: B states, L response positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tad_core.config import DistillConfig
from tad_core.objectives.base import IntArray, Marks, Objective, Term
from tad_core.objectives.tad import fused, hard_loss
from tad_core.rng import generator

#: least masking rate: bounds the weight 1/p
MIN_RATE = 1e-3
TERM = "masked"


def uniforms(seeds_B: IntArray, count: int) -> NDArray[np.float64]:
    """``[B, count]`` numbers of [0, 1), row b a function of ``seeds_B[b]`` alone (SplitMix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        counter_1N = np.arange(1, count + 1, dtype=np.uint64)[None, :] * np.uint64(0x9E3779B97F4A7C15)
        z = seeds_B.astype(np.uint64)[:, None] + counter_1N
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        unit: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return unit


class SFTObjective(Objective):
    """Random masks over a response, wherever it is from."""

    def __init__(self, config: DistillConfig, window: int | None = None, compiled: bool = False) -> None:
        del window
        self.seed = config.seed
        row_loss = fused(hard_loss) if compiled else hard_loss
        self.terms = (Term(TERM, lambda student_NV, _, labels_N: row_loss(student_NV, labels_N)),)

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """A draw is the seed of one random mask."""
        del length
        return generator("sft", self.seed, epoch, name).integers(0, 1 << 62, size=count, dtype=np.int64)

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """The rate is the first number of a seed, the tokens' own are the next L."""
        del progress
        noise = uniforms(draws_B, 1 + revealed_at_BL.shape[1])
        rate_B1 = MIN_RATE + (1 - MIN_RATE) * noise[:, :1]
        masked_BL = noise[:, 1:] < rate_B1
        weight_B = (1.0 / rate_B1[:, 0]).astype(np.float32)
        return Marks(masked_BL, {TERM: masked_BL}, weight_B)

    def totals(self, marks: Marks) -> tuple[int, ...]:
        """All response tokens, masked or not: the weight 1/p makes up for those that are not."""
        return (int(marks.masked_BL.size),)

"""dParallel: certainty forcing (Chen et al. 2025), on the teacher's kept answers.

Of a random block of the response some tokens are masked, what is before it is shown, and what is after it is masked and
not learned; a second input masks the block's other tokens. On both the masked tokens get cross-entropy, and those that
the student already predicts rightly get the entropy of their distribution at temperature 0.5 besides.

What differs from the public code, on purpose:

- The mean entropy is over all masked tokens of the optimizer step, to which wrong ones add nothing. The code takes it
  over the right ones of each sample, whose number is known only after the forward: a share of a micro-batch could not
  be added up then, and a sample with one right token weighed as much as one with thirty.
- Cross-entropy and entropy are each one mean over both inputs, half of the code's sum of a mean of each. AdamW sees no
  common factor; clipping by ``max_grad_norm`` does.
- A block is one of those there are. The code also draws the one behind the last, which is empty where the block length
  divides the response's, and so spends forwards on states without a loss.
- The code writes its mask into all rows of a batch and is right for batches of one alone.

Shapes: B states, L response positions, N rows, V vocabulary; marks have 2 B rows, complements after their states.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tad_core.config import DistillConfig
from tad_core.objectives.base import IntArray, Marks, Objective, Term
from tad_core.objectives.blocks import sampled_block
from tad_core.objectives.sft import uniforms
from tad_core.objectives.tad import fused, row_loss
from tad_core.rng import generator

#: of the distribution whose entropy is pressed down
TEMPERATURE = 0.5
#: share of a block that the first of the two inputs masks
MASKED = 0.5


def certainty_loss(student_NV: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy ``[N]`` in nats of the tempered distribution where its best token is the label, else 0; its gradient.

    With p the softmax of z / T and H its entropy, ``dH/dz = -p (log p + H) / T``. In float32. The choice of rows is no
    part of the gradient.
    """
    log_NV = torch.log_softmax(student_NV.float() / TEMPERATURE, dim=-1)
    share_NV = log_NV.exp()
    entropy_N = -(share_NV * log_NV).sum(-1)
    right_N = (student_NV.argmax(-1) == labels_N).float()
    gradient_NV = -share_NV * (log_NV + entropy_N[:, None]) / TEMPERATURE * right_N[:, None]
    return entropy_N * right_N, gradient_NV.to(student_NV.dtype)


def certainty_term(weight: float, compiled: bool, name: str = "certainty") -> Term:
    """Certainty forcing as a term."""
    loss = fused(certainty_loss) if compiled else certainty_loss
    return Term(name, lambda student_NV, _, labels_N: loss(student_NV, labels_N), weight)


class DParallelObjective(Objective):
    """Complementary masks of one block, cross-entropy and the entropy of what is right."""

    copies = 2

    def __init__(self, config: DistillConfig, window: int | None = None, compiled: bool = False) -> None:
        del window
        self.seed, self.block = config.seed, config.mask_block
        self.terms = (
            Term("masked", row_loss("hard", 1.0, compiled)),
            certainty_term(config.weight_certainty, compiled),
        )

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """A draw is the seed of one block and of its mask."""
        del length
        return generator("dparallel", self.seed, epoch, name).integers(0, 1 << 62, size=count, dtype=np.int64)

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """The block is the first number of a seed, the tokens' own are the next L."""
        del progress
        length = revealed_at_BL.shape[1]
        noise = uniforms(draws_B, 1 + length)
        block_BL, after_BL = sampled_block(noise[:, :1], length, self.block)
        chosen_BL = noise[:, 1:] < MASKED
        learned = np.concatenate([block_BL & chosen_BL, block_BL & ~chosen_BL])
        return Marks(learned | np.tile(after_BL, (2, 1)), {"masked": learned, "certainty": learned})

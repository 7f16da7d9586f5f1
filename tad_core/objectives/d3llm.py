"""d3LLM: pseudo-trajectory distillation, which takes the order of a trajectory and two curricula, on kept answers.

Of a random block of the response the tokens that the teacher revealed last are masked, what is before it is shown, and
what is after it is masked and not learned; a second input masks the block's other tokens. The share that is masked is
drawn from ``progress * mask_ratio`` to ``mask_ratio``, and blocks grow over the run through ``mask_blocks``. Each of
the two inputs has its own mean of cross-entropy; right tokens of the first get certainty forcing besides
(``dparallel``), which for Dream the second has too (``complement_certainty``, a mean of its own).

What differs from the public code, on purpose:

- Labels are the teacher's own tokens, whose order it is. The code takes the order from trajectories and the labels from
  a data set's answer, and tokenises a question once raw and once in a chat template, so that the two are not of the
  same places. With ``labels: reference`` the tokens are those of the problem's reference, in the same prompt and at the
  places of the trajectory's; in place of the masks with which the code fills a short trajectory up, and which it then
  learns, there is end-of-text.
- The order is that inside the block, whatever blocks the rollout had. The code reads the state at the block's start
  plus the tokens to be shown, which is one reveal too many (its first state has one already) and is right only where
  blocks of training and rollout begin at the same places.
- A block is one of those there are; see ``dparallel``, also for the mean of the entropy.
- The code divides the sum of all terms by 4, its number of micro-batches, beside what its trainer divides by.

Shapes: B states, L response positions; marks have 2 B rows, complements after their states.
"""

from __future__ import annotations

import numpy as np

from tad_core.config import DistillConfig
from tad_core.objectives.base import IntArray, Marks, Objective, Term
from tad_core.objectives.blocks import rank_inside, sampled_block
from tad_core.objectives.dparallel import certainty_term
from tad_core.objectives.sft import uniforms
from tad_core.objectives.tad import row_loss
from tad_core.rng import generator


class D3LLMObjective(Objective):
    """Complementary masks of one block in the teacher's order, harder and over longer blocks as the run goes on."""

    copies = 2

    def __init__(self, config: DistillConfig, window: int | None = None, compiled: bool = False) -> None:
        del window
        self.seed, self.ratio, self.blocks = config.seed, config.mask_ratio, config.mask_blocks
        hard = row_loss("hard", 1.0, compiled)
        self.terms = (
            Term("masked", hard),
            Term("complement", hard),
            certainty_term(config.weight_certainty, compiled),
        )
        if config.complement_certainty:
            self.terms += (certainty_term(config.weight_certainty, compiled, "certainty_complement"),)

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """A draw is the seed of one block and one share."""
        del length
        return generator("d3llm", self.seed, epoch, name).integers(0, 1 << 62, size=count, dtype=np.int64)

    def block_at(self, progress: float) -> int:
        """Length of the blocks at this part of the run: n given ones stand at the beginnings of n equal parts of it, as
        the paper has one an epoch; between two it grows linearly, and the last one stays."""
        places = np.arange(len(self.blocks)) / len(self.blocks)
        return int(np.interp(progress, places, self.blocks))

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """The block is the first number of a seed, the share the second."""
        length, size = revealed_at_BL.shape[1], self.block_at(progress)
        noise_B2 = uniforms(draws_B, 2)
        block_BL, after_BL = sampled_block(noise_B2[:, :1], length, size)
        share_B1 = self.ratio * (progress + (1 - progress) * noise_B2[:, 1:])
        shown_B1 = ((1 - share_B1) * block_BL.sum(1, keepdims=True)).astype(np.int64)
        rank_BL = rank_inside(revealed_at_BL, block_BL)
        late_BL = block_BL & (rank_BL >= shown_B1)
        none_BL = np.zeros_like(late_BL)
        first, second = np.concatenate([late_BL, none_BL]), np.concatenate([none_BL, block_BL & ~late_BL])
        return Marks(
            first | second | np.tile(after_BL, (2, 1)),
            {"masked": first, "complement": second, "certainty": first, "certainty_complement": second},
        )

"""D2F: asymmetric distillation of a student that reads block by block (Wang et al. 2025, "Discrete diffusion forcing").

The blocks of a response are masked at rates that never fall from one to the next, as they are while a pipeline of
blocks decodes. The student's attention is block-causal: a token sees the prompt, the blocks before its own and its own,
and the prompt sees itself. The teacher, which is the base with its own full attention, reads the same response. The
loss is the KL from teacher to student on the masked tokens, divided by the rate of their block:

    p_0 ~ U(low, high);  p_{j+1} = p_j + U(0, 1) (high - p_0) / (K - 1)
    loss = mean over masked tokens of KL(teacher || student) / p_j

What differs from the public code, on purpose:

- The response is the teacher's own kept answer; the code takes another model's.
- The teacher reads the reference besides, in the prompt of its rollout (``teacher_prompt``). The code's reads what the
  student reads, which is ``plain``.
- KL in place of cross-entropy with the teacher's distribution: they differ by its entropy, which has no gradient.
- The mean is over the masked tokens of the optimizer step; the code's is over those of a micro-batch of one.
- Dream's row that predicts a block's first token is the last of the piece before it, which does not see the block, here
  as in decoding; the very first row is no constant.
- Blocks of end-of-text are learned as the other objectives learn them (``filled_states``). The code means to leave them
  out, but compares where it should assign.

Shapes: B states, L response positions, K blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tad_core.config import DistillConfig
from tad_core.objectives.base import IntArray, Marks, Objective, Term
from tad_core.objectives.sft import uniforms
from tad_core.objectives.tad import row_loss
from tad_core.rng import generator

TERM = "masked"


class D2FObjective(Objective):
    """Masks that grow from block to block, a block-causal student, the base as its teacher."""

    def __init__(self, config: DistillConfig, window: int | None = None, compiled: bool = False) -> None:
        del window
        self.seed, self.low, self.high = config.seed, config.d2f.rate_low, config.d2f.rate_high
        self.block = self.attention_block = config.mask_block
        self.terms = (Term(TERM, row_loss("soft", config.temperature, compiled), needs_teacher=True),)

    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """A draw is the seed of the rates and of the mask."""
        del length
        return generator("d2f", self.seed, epoch, name).integers(0, 1 << 62, size=count, dtype=np.int64)

    def rates(self, noise_BK: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of each block that is masked, from numbers of [0, 1): never less than in the block before."""
        first_B1 = self.low + (self.high - self.low) * noise_BK[:, :1]
        steps = max(1, noise_BK.shape[1] - 1)
        more_BK = np.cumsum(noise_BK[:, 1:], axis=1) * (self.high - first_B1) / steps
        return np.concatenate([first_B1, first_B1 + more_BK], axis=1)

    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """The rates are made of the first K numbers of a seed, the tokens' own are the next L."""
        del progress
        length = revealed_at_BL.shape[1]
        blocks = -(-length // self.block)
        noise = uniforms(draws_B, blocks + length)
        rate_BL = self.rates(noise[:, :blocks])[:, np.arange(length) // self.block]
        masked_BL = noise[:, blocks:] < rate_BL
        return Marks(masked_BL, {TERM: masked_BL}, weights_BL={TERM: (1 / rate_BL).astype(np.float32)})

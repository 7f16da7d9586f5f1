"""An objective of one's own, for own_objective.ipynb: TAD with label smoothing on near tokens.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tad_core.config import DistillConfig
from tad_core.objectives.base import Term
from tad_core.objectives.tad import TADObjective

#: share of the target that is spread over the whole vocabulary (Szegedy et al. 2016, section 7)
SMOOTHING = 0.1


def smoothed_loss(
    student_NV: Tensor, labels_N: Tensor, smoothing: float = SMOOTHING
) -> tuple[Tensor, Tensor]:
    """Cross-entropy ``[N]`` with smoothed labels in nats, and its gradient ``[N, V]``.

    With targets ``t = (1 - s) onehot(label) + s / V`` the loss is ``-sum(t log softmax(z))``, its gradient
    ``softmax(z) - t``. In float32.
    """
    log_NV = torch.log_softmax(student_NV, dim=-1, dtype=torch.float32)
    target_NV = torch.full_like(log_NV, smoothing / log_NV.shape[1])
    target_NV.scatter_add_(1, labels_N[:, None], torch.full_like(log_NV[:, :1], 1 - smoothing))
    losses_N = -(target_NV * log_NV).sum(-1)
    return losses_N, (log_NV.exp() - target_NV).to(student_NV.dtype)


class Smoothed(TADObjective):
    """TAD's states and its two terms, the near one with smoothed labels."""

    def __init__(self, config: DistillConfig, window: int | None, compiled: bool = False) -> None:
        super().__init__(config, window, compiled)
        near = Term("near", lambda student_NV, _, labels_N: smoothed_loss(student_NV, labels_N))
        self.terms = (near, *self.terms[1:])

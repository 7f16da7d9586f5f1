"""Training objectives: pure functions of logits, labels and masks, behind one interface."""

from __future__ import annotations

from tad_core.config import DistillConfig
from tad_core.objectives.base import Objective
from tad_core.objectives.sft import SFTObjective
from tad_core.objectives.tad import TADObjective


def make_objective(config: DistillConfig, window: int | None, compiled: bool = False) -> Objective:
    """The objective that ``distill.objective`` names.

    Args:
        config: the settings.
        window: for those that split near from distant.
        compiled: fuse the loss, which is the same up to rounding.
    """
    if config.objective == "sft":
        return SFTObjective(config, compiled)
    return TADObjective(config, window, compiled)


__all__ = ["Objective", "SFTObjective", "TADObjective", "make_objective"]

"""Training objectives: pure functions of logits, labels and masks, behind one interface."""

from __future__ import annotations

from tad_core.config import DistillConfig
from tad_core.objectives.base import Objective
from tad_core.objectives.sft import SFTObjective
from tad_core.objectives.tad import TADObjective


def make_objective(config: DistillConfig, window: int | None) -> Objective:
    """The objective that ``distill.objective`` names; ``window`` is for those that split near from distant."""
    if config.objective == "sft":
        return SFTObjective(config)
    return TADObjective(config, window)


__all__ = ["Objective", "SFTObjective", "TADObjective", "make_objective"]

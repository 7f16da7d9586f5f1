"""Training objectives: pure functions of logits, labels and masks, behind one interface, and what they learn of a run.

Which there are is told by ``tad_core.config.objectives``, where another one is a further entry.
"""

from __future__ import annotations

from importlib import import_module

from tad_core.config import DistillConfig
from tad_core.config.objectives import OBJECTIVES
from tad_core.objectives.base import Objective


def make_objective(config: DistillConfig, window: int | None, compiled: bool = False) -> Objective:
    """The objective that ``distill.objective`` names.

    Args:
        config: the settings.
        window: steps of the near set, for those that split near from distant.
        compiled: fuse the loss, which is the same up to rounding.
    """
    kind = OBJECTIVES[config.objective]
    module, _, name = kind.made_by.partition(":")
    made = getattr(import_module(module), name)(config, window, compiled)
    assert isinstance(made, Objective), "the registry names objectives"
    assert (made.copies, made.needs_snapshot) == (kind.inputs, kind.snapshot), (
        "what is planned with is what is trained"
    )
    return made


__all__ = ["Objective", "make_objective"]

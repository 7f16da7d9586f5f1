"""What an objective learns of a run while it trains: without a forward of its own, and part of every checkpoint.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from tad_core.objectives.tally import AddUp


class Learner(ABC):
    """Told of every row of the losses, and of every step that is done.

    Attributes:
        account: its name, by which ``Marks.bins_BL`` has the bin of each position for it.
        of_text: whether what was filled in or comes after the end is in no bin.
    """

    account: ClassVar[str]
    of_text: ClassVar[bool] = False

    @abstractmethod
    def watch(self, term: str, bin_N: Tensor, logits_NV: Tensor, labels_N: Tensor, losses_N: Tensor) -> None:
        """Some rows of a term: their bins (-1 for none), the student's logits, the trajectory's tokens, the losses
        with the weights of their marks."""

    @abstractmethod
    def after_step(self, done: int, steps: int, add_up: AddUp) -> None:
        """The optimizer has done so many of the run's steps; called in every process, before a checkpoint is written.

        A batch may be made a step ahead: what is learned here may change marks from the step after the next on.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What a resumed run has to know."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state``."""

    def weights(self, bin_N: Tensor) -> Tensor | None:
        """A further factor of rows, by what was learned so far; None for 1."""
        return None

    def figures(self, progress: float) -> dict[str, float]:
        """What the log tells beside the losses, at a part of the run."""
        return {}

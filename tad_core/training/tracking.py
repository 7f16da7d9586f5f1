"""TensorBoard's folders: one for each model, in which a run that was killed and goes on tells every step once.

The Trainer's own callback writes all models into one folder and appends: what a killed run told of steps behind its
newest checkpoint stays beside what the resumed one tells of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

#: Names the folder, for the Trainer's callback as for this.
FOLDER = "TENSORBOARD_LOGGING_DIR"


class Board:
    """What TensorBoard is told of one model."""

    def __init__(self, name: str, mark: str, step: int) -> None:
        """Open its folder.

        Args:
            name: of the model.
            mark: identity of its run.
            step: from which it goes on; what was told of later ones is not shown any more.
        """
        folder = Path(os.environ[FOLDER]).expanduser() / f"{name}-{mark[:8]}"
        self._writer = _writer()(str(folder), purge_step=step + 1)

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of a progress line, on the disk at once."""
        for what, value in figures.items():
            self._writer.add_scalar(f"train/{what}", value, step)
        self._writer.flush()


def _writer() -> Any:
    """Of whichever package is installed."""
    try:
        return import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError:
        return import_module("tensorboardX").SummaryWriter

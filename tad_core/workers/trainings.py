"""Trainings that are forked from a nursery, many side by side, as the launcher starts and watches them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

from tad_core.workers.nursery import Forked, Nursery

#: modules that a nursery of trainings and decoders loads before its first fork
IMPORTS = ("tad_core.training.run", "tad_core.training.trainer", "tad_core.evaluation.generate")

#: what a training sees of the launcher's environment that its nursery may not have
_PASSED_ON = ("TAD_", "CUDA_VISIBLE_DEVICES", "TRANSFORMERS_", "HF_", "TENSORBOARD_", "WANDB_", "MLFLOW_")


class ForkedTraining(Forked):
    """A forked training, with its pipe."""

    def __init__(self, forked: Forked, stdout: IO[str]) -> None:
        super().__init__(forked.pid, forked.future)
        self.stdout = stdout


class TrainingForks:
    """Starts trainings as forks: a ``training.launch.Start``.

    Args:
        nursery: has loaded ``IMPORTS``.
        env: variables of these trainings beside the launcher's, such as which GPU they see.
    """

    def __init__(self, nursery: Nursery, env: dict[str, str]) -> None:
        self._nursery, self._env = nursery, env

    def __call__(self, command: list[str], env: dict[str, str], keep_open: Sequence[int]) -> ForkedTraining:
        """Fork the training of the spec file that the command ends with.

        Raises:
            SubprocessError: the nursery died.
        """
        passed = {name: value for name, value in env.items() if name.startswith(_PASSED_ON)}
        ours, theirs = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        stdout = os.fdopen(ours, encoding="utf-8", errors="replace")
        try:
            pipes = (nothing, theirs, theirs)
            forked = self._nursery.fork_training(command[-1], {**passed, **self._env}, pipes, keep_open)
        except BaseException:
            stdout.close()
            raise
        finally:
            os.close(theirs)
            os.close(nothing)
        return ForkedTraining(forked, stdout)

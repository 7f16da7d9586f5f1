"""CPU threads of a process that computes one response at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from tad_core.models.base import DiffusionLM
from tad_core.workers.devices import cores

#: Parameters below which a product of one response is over before a second thread has taken its part of it.
SMALL = 20_000_000


def set_threads_for(models: Iterable[DiffusionLM]) -> None:
    """Give torch as many threads as the largest of these models has use for, if any of them is on the CPU.

    Where a number is configured it is not to be called; a stage does so inside ``models.loading.threads_kept``.
    """
    on_cpu = [model for model in models if model.device.type == "cpu"]
    if on_cpu:
        most = max(sum(weight.numel() for weight in model.parameters()) for model in on_cpu)
        torch.set_num_threads(1 if most < SMALL else cores())

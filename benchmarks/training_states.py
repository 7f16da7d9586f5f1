"""What trainers are measured with: made-up trajectories, a setting, a clock, the memory that was taken."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from tad_core.config import DistillConfig
from tad_core.models.base import DiffusionLM
from tad_core.training.dataset import Prompts, StatePlan, TrainingTable

BLOCK = 16
WINDOWS = {"quality": 8, "speed": 20}


@dataclass(frozen=True)
class Setting:
    """What all ways share."""

    model: DiffusionLM
    device: torch.device
    table: TrainingTable
    config: DistillConfig


class Ran(NamedTuple):
    """States a second of all models together, the first loss, and the most memory that was taken from the card; of
    ours also the rate of every step, since kernels are compiled and recorded as new lengths come."""

    states_per_s: float
    loss: float
    peak_gib: float
    by_step: tuple[float, ...] = ()


def made_up_table(rows: int, length: int, vocabulary: int, student: range, extra: range) -> TrainingTable:
    """Trajectories with prompts of lengths in ``student``; the teacher's is longer by one in ``extra``."""
    rng = np.random.default_rng(0)
    plain_R = rng.choice(np.array(student), size=rows)
    more_R = rng.choice(np.array(extra), size=rows)

    def prompts(length_R: np.ndarray) -> Prompts:
        ids = rng.integers(0, vocabulary, size=int(length_R.sum()))
        return Prompts(ids.astype(np.int32), length_R)

    order_RL = np.stack([_by_blocks(rng, length) for _ in range(rows)])
    return TrainingTable(
        names=[f"p/{r}" for r in range(rows)],
        student=prompts(plain_R),
        teacher=prompts(plain_R + more_R),
        response_RL=rng.integers(0, vocabulary, size=(rows, length)).astype(np.int32),
        revealed_at_RL=order_RL.astype(np.int16),
        filled_from_R=np.full(rows, length + 1, dtype=np.int16),
    )


def _by_blocks(rng: np.random.Generator, length: int) -> np.ndarray:
    return np.concatenate([start + rng.permutation(BLOCK) + 1 for start in range(0, length, BLOCK)])


class ShuffledPlan(StatePlan):
    """The same states in each step, in an order that knows nothing of their lengths."""

    def __getitems__(self, indices: list[int]) -> list[int]:
        """The states in place of these."""
        first = indices[0] // self.batch * self.batch
        order = np.random.default_rng(first).permutation(self.batch) + first
        return [int(order[i - first]) for i in indices]


def taken_gib(device: torch.device) -> float:
    """The most memory that torch took from the card, what graphs hold and what lies idle included."""
    return torch.cuda.max_memory_reserved() / 2**30 if device.type == "cuda" else 0.0


def now(device: torch.device) -> float:
    """Seconds: of computing on one thread of a CPU, of a clock elsewhere."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def wait(device: torch.device) -> None:
    """For all that was begun on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()

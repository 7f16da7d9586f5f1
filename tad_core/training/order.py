"""The order in which states are visited, worked out step by step: nothing grows with the number of steps.

Nothing here depends on the number of devices or on the micro-batch: the plan is one list of states, and optimizer
step s consists of the slice ``[s * G, (s + 1) * G)`` of it, G being the global batch.

Shapes: R rows, S states of the run, G states of an optimizer step, E states of an epoch, B states that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tad_core.config import DistillConfig
from tad_core.errors import DataError
from tad_core.objectives.base import IntArray, Objective
from tad_core.rng import Permutation, generator
from tad_core.training.flat import let_go
from tad_core.training.spec import MOST_SHUFFLED, Order
from tad_core.training.table import TrainingTable, starts

#: Steps and epochs that are kept once they are worked out: a micro-batch asks for its step again, and a step may
#: lie in two epochs.
_KEPT = 2


class StatePlan(Dataset[int]):
    """The states of the whole run, in order; item i is ``(row_S[i], draw_S[i])``.

    An epoch draws ``states_per_trajectory`` states of every row, or all that ``filled_states`` leaves of a row that has
    fewer, and shuffles them globally. A run of more steps
    than one epoch gives goes on with the next epoch's draws. Inside one optimizer step the order does not matter
    to the result, so the states of a step are sorted by prompt length there: less padding.
    """

    def __init__(
        self, table: TrainingTable, objective: Objective, config: DistillConfig, order: Order = "shuffled"
    ) -> None:
        self._table, self._objective, self._seed, self._how = table, objective, config.seed, order
        self._states_R = trained_states(table, config.filled_states)
        self._count_R = np.minimum(config.states_per_trajectory, self._states_R)
        self._first_R = starts(self._count_R)
        per_epoch = int(self._count_R.sum())
        if per_epoch == 0:
            raise DataError(
                f"distill.filled_states: {config.filled_states!r} leaves no state of the {len(table)} trajectories, "
                "whose responses are all empty; look at the collection"
            )
        self.batch = config.global_batch_size
        self.steps = config.max_steps or max(1, round(per_epoch * config.epochs / self.batch))
        self.epoch_states = per_epoch
        self._orders: dict[int, Permutation | NDArray[np.uint32]] = {}
        self._steps: dict[int, _Step] = {}
        self.row_S, self.draw_S = _Column(self, "row_G"), _Column(self, "draw_G")

    def __len__(self) -> int:
        return self.steps * self.batch

    def __getitem__(self, index: int) -> int:
        return index

    def __getitems__(self, indices: list[int]) -> list[int]:
        """What the loader's fetcher calls: the collator works on whole batches of indices."""
        return indices

    def step(self, step: int) -> _Step:
        """The states of one optimizer step."""
        if step not in self._steps:
            # A row that is read maps up to 2 MB around it: what earlier steps read would add up to the whole files.
            let_go(self._table.maps)
            _keep(self._steps, step, self._work_out(step))
        return self._steps[step]

    def _work_out(self, step: int) -> _Step:
        place_G = np.arange(step * self.batch, (step + 1) * self.batch)
        epoch_G, place_G = place_G // self.epoch_states, place_G % self.epoch_states
        state_G = np.empty(self.batch, dtype=np.int64)  # which of its epoch, before the shuffle
        for epoch in range(int(epoch_G[0]), int(epoch_G[-1]) + 1):
            here_G = epoch_G == epoch
            state_G[here_G] = self._order(epoch)[place_G[here_G]]
        # Rows without a state begin where the next one does, which is the one that is meant.
        row_G = np.searchsorted(self._first_R, state_G, side="right") - 1
        length_G = self._table.student.length_R[row_G] + self._table.teacher.length_R[row_G]
        sorted_G = np.argsort(length_G, kind="stable")
        row_G, state_G, epoch_G = row_G[sorted_G], state_G[sorted_G], epoch_G[sorted_G]
        return _Step(row_G.astype(np.int32), self._draws(row_G, state_G - self._first_R[row_G], epoch_G))

    def _draws(self, row_G: IntArray, which_G: IntArray, epoch_G: IntArray) -> IntArray:
        """Of the draws of a row in an epoch that one; keyed by both, they can be drawn at any time."""
        drawn: dict[tuple[int, int], IntArray] = {}
        draw_G = np.empty(len(row_G), dtype=np.int64)
        for i, (row, which, epoch) in enumerate(
            zip(row_G.tolist(), which_G.tolist(), epoch_G.tolist(), strict=True)
        ):
            if (row, epoch) not in drawn:
                drawn[row, epoch] = self._objective.draws(
                    self._table.names[row], int(self._states_R[row]), int(self._count_R[row]), epoch
                )
            draw_G[i] = drawn[row, epoch][which]
        return draw_G

    def _order(self, epoch: int) -> Permutation | NDArray[np.uint32]:
        """The states of an epoch in order, ``[E]``."""
        if epoch not in self._orders:
            _keep(self._orders, epoch, ordered(self._how, self._seed, epoch, self.epoch_states))
        return self._orders[epoch]


def ordered(order: Order, seed: int, epoch: int, count: int) -> Permutation | NDArray[np.uint32]:
    """The states of an epoch in the order of its key; either is read at the places that are asked for.

    Raises:
        DataError: more states than are shuffled in memory.
    """
    if order == "keyed":
        return Permutation(count, "order", seed, epoch)
    if count > MOST_SHUFFLED:
        raise DataError(
            f"order: shuffled, and an epoch of {count:,} states is more than the {MOST_SHUFFLED:,} that are shuffled "
            "in memory; set order of the spec to keyed, or lower distill.states_per_trajectory"
        )
    order_E = np.arange(count, dtype=np.uint32)
    generator("order", seed, epoch).shuffle(order_E)
    return order_E


class _Step(NamedTuple):
    """The rows of the states of an optimizer step and what was drawn of them."""

    row_G: NDArray[np.int32]
    draw_G: IntArray


class _Column:
    """One number of every state of a run, as an array that is worked out where it is read."""

    def __init__(self, plan: StatePlan, name: Literal["row_G", "draw_G"]) -> None:
        self._plan, self._name = plan, name

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """As of an array: a number, a slice, or an array of numbers."""
        places = range(len(self))
        asked = np.asarray(places[index] if isinstance(index, (int, slice)) else index)
        place_B = np.atleast_1d(asked)
        found_B = np.empty(len(place_B), dtype=np.int32 if self._name == "row_G" else np.int64)
        step_B = place_B // self._plan.batch
        for step in np.unique(step_B).tolist():
            here_B = step_B == step
            column_G = getattr(self._plan.step(step), self._name)
            found_B[here_B] = column_G[place_B[here_B] - step * self._plan.batch]
        return found_B.reshape(asked.shape)

    def __iter__(self) -> Iterator[int]:
        return iter(self[:].tolist())


def trained_states(table: TrainingTable, filled_states: Literal["all", "one", "skip"]) -> IntArray:
    """How many states of each row, from the first on, may be drawn, ``[R]``; at most L.

    State t is followed by the reveal of step t + 1, so from state ``filled_from - 1`` on only end-of-text is filled in.
    """
    length = table.response_RL.shape[1]
    if filled_states == "all":
        return np.full(len(table), length, dtype=np.int64)
    computed_R = table.filled_from_R.astype(np.int64) - 1
    return np.minimum(computed_R + (filled_states == "one"), length)


def _keep(found: dict[int, Any], key: int, value: Any) -> None:
    while len(found) >= _KEPT:
        del found[next(iter(found))]
    found[key] = value

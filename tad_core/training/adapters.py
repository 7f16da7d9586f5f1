"""The adapters that one pass trains: which of them a forward sees, and how their optimizer's state is told apart.

One optimizer holds a group for each adapter. On disk each has a state of its own, as it has when trained alone, so
that any of them goes on in any company.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tad_core.objectives.base import Objective
from tad_core.training import checkpoint
from tad_core.training.recorder import Books

#: what an objective learned of the run so far, in a checkpoint
LEARNED = "objective.safetensors"
#: elements of gradient that are added up over the processes at once; 2^24 in float32 are 64 MiB
_BUCKET = 1 << 24


@dataclass(frozen=True)
class Trained:
    """An adapter in training.

    Attributes:
        name: what PEFT calls it.
        objective: its loss; its states are those of all others of the pass.
        books: its losses.
        mark: identity of its run.
        output: folder of its checkpoints.
        weights: in the order of its optimizer's group.
        snapshot: its weights as they were, where the objective compares with them.
    """

    name: str
    objective: Objective
    books: Books
    mark: str
    output: Path
    weights: list[nn.Parameter]
    snapshot: Snapshot | None = None

    def folder(self, step: int) -> Path:
        """Its checkpoint of a step."""
        return self.output / f"{checkpoint.PREFIX}{step}"

    def save_own(self, folder: Path) -> None:
        """Write what it has beside weights and optimizer into a checkpoint."""
        if self.snapshot is not None:
            self.snapshot.save(folder)
        if state := self.objective.state():
            save_file({name: value.contiguous().cpu() for name, value in state.items()}, folder / LEARNED)

    def load_own(self, folder: Path) -> None:
        """The inverse."""
        if self.snapshot is not None:
            self.snapshot.load(folder)
        if (folder / LEARNED).exists():
            self.objective.restore(load_file(folder / LEARNED))


class Learning(TrainerCallback):  # type: ignore[misc]
    """Tells learners of every step that is done, so that they may learn of it before a checkpoint is written."""

    def __init__(self, adapters: Sequence[Trained], steps: int) -> None:
        self._adapters, self._steps = adapters, steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """In every process."""
        for adapter in self._adapters:
            for learner in adapter.objective.learners:
                learner.after_step(state.global_step, self._steps, over_processes)


class Switch:
    """Turns adapters on and off.

    PEFT's own context manager inspects every parameter each time (10 ms on a small model, a step's worth), and its
    ``set_adapter`` freezes all others; the two fields that its layers read are all that is needed.
    """

    def __init__(self, model: PeftModel) -> None:
        self._layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]

    def to(self, name: str) -> None:
        """From now on forwards see this adapter alone."""
        for layer in self._layers:
            layer._active_adapter = [name]

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Inside, forwards see the base."""
        for layer in self._layers:
            layer._disable_adapters = True
        try:
            yield
        finally:
            for layer in self._layers:
                layer._disable_adapters = False

    @contextlib.contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Inside, adapters drop nothing, and so draw nothing."""
        drops = [drop for layer in self._layers for drop in layer.lora_dropout.values() if drop.training]
        for drop in drops:
            drop.training = False
        try:
            yield
        finally:
            for drop in drops:
                drop.training = True


class Snapshot:
    """The weights of an adapter as they were, through which forwards can be sent; taken anew every so many steps.

    It is part of a checkpoint, so that a resumed run compares with what the undisturbed one compares with.
    """

    FILE = "snapshot.safetensors"

    def __init__(self, weights: Sequence[nn.Parameter], every: int) -> None:
        self._weights, self._every = weights, every
        self._kept: list[Tensor] = []
        self._taken_at = -1

    def refresh(self, step: int) -> None:
        """Take it anew if so many steps are done that it is due; once a step."""
        if step % self._every == 0 and step != self._taken_at:
            self._kept = [weight.detach().clone() for weight in self._weights]
            self._taken_at = step

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Inside, the adapter has the weights that it had; no gradient may be taken there."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for i, weight in enumerate(self._weights):
            weight.data, self._kept[i] = self._kept[i], weight.data

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint."""
        save_file({str(i): kept.contiguous() for i, kept in enumerate(self._kept)}, folder / self.FILE)

    def load(self, folder: Path) -> None:
        """Take it from a checkpoint."""
        found = load_file(folder / self.FILE)
        self._kept = [found[str(i)].to(weight.device) for i, weight in enumerate(self._weights)]


class Draws:
    """The random numbers of a micro-batch, drawn again for every adapter: each sees the masks it would see alone."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._state = torch.get_rng_state() if self._cuda is None else torch.cuda.get_rng_state(self._cuda)

    def again(self) -> None:
        """Go back to where the micro-batch began."""
        if self._cuda is None:
            torch.set_rng_state(self._state)
        else:
            torch.cuda.set_rng_state(self._state, self._cuda)


def over_processes(value: Tensor) -> None:
    """Sum a tensor over all processes, in place."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(value)


def add_up(weights: Sequence[nn.Parameter]) -> None:
    """Sum the gradients over all processes, in place; nothing to do where there is one."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    for bucket in _buckets([weight.grad for weight in weights if weight.grad is not None]):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        pieces = torch.split(flat, [gradient.numel() for gradient in bucket])
        for gradient, piece in zip(bucket, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


def from_first(weights: Sequence[nn.Parameter]) -> None:
    """Give every process the weights of the first."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        for weight in weights:
            dist.broadcast(weight.data, src=0)


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and size + gradient.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel()
    if bucket:
        yield bucket


# --- one optimizer, a state for each adapter ---------------------------------------------------------


def split_state(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The state of an optimizer by groups, each as that of an optimizer with this group alone."""
    return [
        {
            "state": {i: state["state"][n] for i, n in enumerate(group["params"]) if n in state["state"]},
            "param_groups": [{**group, "params": list(range(len(group["params"])))}],
        }
        for group in state["param_groups"]
    ]


def join_states(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The inverse; a group without weights, which an adapter's own state may have, is left out."""
    joined: dict[str, Any] = {"state": {}, "param_groups": []}
    first = 0
    for state in states:
        (group,) = (g for g in state["param_groups"] if g["params"])
        joined["state"] |= {first + n: value for n, value in state["state"].items()}
        joined["param_groups"].append({**group, "params": [first + n for n in group["params"]]})
        first += len(group["params"])
    return joined


def schedule_for(state: dict[str, Any], groups: int) -> dict[str, Any]:
    """The state of a schedule, which is the same for all adapters, for an optimizer of so many groups."""
    lists = ("base_lrs", "_last_lr", "lr_lambdas")
    return {name: [value[0]] * groups if name in lists else value for name, value in state.items()}

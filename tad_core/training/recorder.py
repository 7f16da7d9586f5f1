"""What a run tells while it goes: ``losses.jsonl`` (one line a step), progress lines, checkpoints on time.

Sums stay on the device until a line is due, so that no step waits for the host.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tad_core.config import DistillConfig
from tad_core.config.marks import with_cost
from tad_core.errors import TrainingError
from tad_core.objectives.base import LossParts, Term
from tad_core.objectives.learner import Learner
from tad_core.rng import key
from tad_core.signals import take_over
from tad_core.training.checkpoint import last_step
from tad_core.training.exits import EXIT_INTERRUPTED, say
from tad_core.training.marker import write_atomic

LOSSES = "losses.jsonl"
#: Seconds after which a line is told though ``log_steps`` are not done: where a step is slow nobody is left waiting.
_QUIET_S = 10.0


@dataclass(frozen=True)
class _Step:
    """A step whose line is not written yet; ``sums_2T``: the sum of every term, then by what each is divided;
    ``figures``: what else its line has."""

    number: int
    lr: float
    wall_s: float
    sums_2T: Tensor
    norm: Tensor
    figures: dict[str, float]


class StopRequest:
    """SIGTERM and Ctrl-C become a wish that the loop grants at the end of its step."""

    def __init__(self) -> None:
        self.wanted = False
        self.running = False

    def install(self) -> None:
        """Take over both signals, but for one that was ignored at the start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            take_over(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.running:  # nothing to save yet
            sys.exit(EXIT_INTERRUPTED)
        self.wanted = True


class Books:
    """The losses of one adapter, and what is told of them."""

    def __init__(
        self, output: Path, config: DistillConfig, terms: Sequence[Term], steps: int, name: str = ""
    ) -> None:
        """``terms`` are those of its objective; ``name`` stands before its progress lines, where several adapters
        write them."""
        self.terms = terms
        self.path, self.config, self.steps = output / LOSSES, config, steps
        self.name = name
        self.done_before = 0
        self.wall_before = 0.0
        #: sums of the terms of the step so far, and by what they are divided
        self.sums_2T: Tensor | None = None
        self._norm: Tensor | float = 0.0
        self._waiting: list[_Step] = []
        #: told of the mean figures of every progress line, see ``distill.report_to``
        self.report: Callable[[dict[str, float]], None] | None = None
        #: those of its objective, whose figures a line has beside the losses
        self.learners: Sequence[Learner] = ()

    def save(self, folder: Path) -> None:
        """Put the losses so far, all written, into a checkpoint: there they are as safe as the weights."""
        shutil.copyfile(self.path, folder / LOSSES)

    def resume(self, step: int, folder: Path) -> None:
        """Go back to the losses of ``step``, from its checkpoint: what came after it is computed again.

        Of a checkpoint that was written before they were in it, from the file as it is.
        """
        saved = folder / LOSSES
        source = self.path if step and not saved.exists() else saved
        text = source.read_text(encoding="utf-8", errors="replace") if step and source.exists() else ""
        kept = [line for line in text.splitlines() if _step(line) <= step]
        if len(kept) < step:
            say(f"warning: {source} was damaged: {step - len(kept)} of the losses of {step} steps are gone")
        write_atomic(self.path, "".join(f"{line}\n" for line in kept))
        self.done_before = step
        self.wall_before = float(json.loads(kept[-1])["wall_s"]) if kept else 0.0

    def add(self, parts: LossParts, totals_T: Tensor) -> None:
        """Count one micro-batch; no host synchronisation."""
        if self.sums_2T is None:
            self.sums_2T = torch.cat([parts.sums_T, totals_T.to(parts.sums_T.dtype)])
        else:
            self.sums_2T[: len(self.terms)] += parts.sums_T

    def check_sums(self, step: int) -> None:
        """Look at the losses of the step's micro-batches so far; the host waits for the device.

        Raises:
            TrainingError: one is not finite.
        """
        if self.sums_2T is not None and not math.isfinite(
            total := float(self.sums_2T[: len(self.terms)].sum())
        ):
            raise self.broken(step, f"its loss is {total}")

    def add_norm(self, step: int, norm: Tensor | float | None) -> None:
        """Note the step's gradient norm before clipping, the same on every device; the host waits for it.

        Raises:
            TrainingError: it is not finite. The caller has not changed the weights yet.
        """
        self._norm = 0.0 if norm is None else norm
        if not math.isfinite(value := float(self._norm)):
            raise self.broken(step, f"the norm of its gradient is {value}")

    def broken(self, step: int, what: str) -> TrainingError:
        """The error of a step that must reach no checkpoint."""
        kept = last_step(self.path.parent)
        before = (
            "no checkpoint was due before it"
            if kept is None
            else f"the checkpoint of step {kept}, from before it, is good"
        )
        which = f"{self.name}, step" if self.name else "step"
        # What fails in one pass fails in it again: whoever wants the others must be told how to have them.
        alone = f"; without {self.name} in evaluate.models the others go on alone" if self.name else ""
        return TrainingError(
            f"training: {which} {step} failed: {what}, and nothing of it is saved ({before}); lower "
            f"distill.learning_rate {self.config.learning_rate:g}, or add {with_cost('distill.warmup_steps')}"
            f"{alone}"
        )

    def file(self, step: int, lr: float, run_s: float) -> None:
        """The step is done, ``run_s`` after this run began; its line waits on the device for the next flush."""
        assert self.sums_2T is not None
        norm = torch.as_tensor(self._norm, dtype=torch.float32, device=self.sums_2T.device).detach()
        progress = (step - 1) / self.steps
        figures = {n: v for learner in self.learners for n, v in learner.figures(progress).items()}
        self._waiting.append(_Step(step, lr, self.wall_before + run_s, self.sums_2T, norm, figures))
        self.sums_2T = None

    def flush(self, first: bool) -> None:
        """Write the lines that wait, in the ``first`` process, and tell of them.

        Raises:
            TrainingError: a loss is not finite.
        """
        sums_S2T = torch.stack([step.sums_2T for step in self._waiting])
        norms = torch.stack([step.norm for step in self._waiting]).tolist()
        if dist.is_available() and dist.is_initialized():
            shares_ST = sums_S2T[:, : len(self.terms)].contiguous()
            dist.all_reduce(shares_ST)  # the totals are those of all devices already
            sums_S2T[:, : len(self.terms)] = shares_ST
        rows = [
            self._line(step, norm, sums)
            for step, norm, sums in zip(self._waiting, norms, sums_S2T.tolist(), strict=True)
        ]
        self._waiting.clear()
        if first:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.writelines(json.dumps(row) + "\n" for row in rows)
            self._tell(rows)
        for row in rows:
            if not math.isfinite(row["loss"]):
                raise self.broken(row["step"], f"its loss is {row['loss']}")

    def _line(self, step: _Step, norm: float, sums_2T: Sequence[float]) -> dict[str, Any]:
        count = len(self.terms)
        means = {t.name: sums_2T[i] / max(sums_2T[count + i], 1.0) for i, t in enumerate(self.terms)}
        counts = {f"{t.name}_count": int(sums_2T[count + i]) for i, t in enumerate(self.terms)}
        loss = sum(term.weight * means[term.name] for term in self.terms)
        return {
            "step": step.number, "loss": loss, **means, **counts,
            **step.figures, "grad_norm": norm, "lr": step.lr, "wall_s": round(step.wall_s, 3),
        }  # fmt: skip

    def begin(self) -> None:
        """Say from which step on it trains: before it the model was loaded, which is no part of its speed."""
        say(f"{f'{self.name}: ' if self.name else ''}step {self.done_before}/{self.steps}")

    def _tell(self, rows: list[dict[str, Any]]) -> None:
        names = ("loss", *(term.name for term in self.terms))
        mean = {name: sum(row[name] for row in rows) / len(rows) for name in (*names, "grad_norm")}
        step, spent_s = rows[-1]["step"], rows[-1]["wall_s"] - self.wall_before
        rate = (step - self.done_before) / max(spent_s, 1e-9)
        say(
            f"{f'{self.name}: ' if self.name else ''}step {step}/{self.steps} "
            f"{' '.join(f'{name} {mean[name]:.4f}' for name in names)} "
            f"lr {rows[-1]['lr']:.3g} states/s {rate * self.config.global_batch_size:.4g} "
            f"eta_s {(self.steps - step) / max(rate, 1e-9):.0f}",
        )
        if self.report is not None:
            states_per_s = rate * self.config.global_batch_size
            self.report({**mean, "learning_rate": rows[-1]["lr"], "states_per_s": states_per_s})


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Keeps the clock of a run. ``granted`` says whether it ended because it was asked to."""

    def __init__(self, books: Sequence[Books], config: DistillConfig, steps: int, stop: StopRequest) -> None:
        self.books, self.config, self.steps, self.stop = books, config, steps, stop
        self.granted = False
        self._started = self._told = time.monotonic()
        self._lr = 0.0

    # --- called by the trainer ----------------------------------------------------------------------

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock and say where the run begins; from now on a signal waits for the end of the step."""
        self._started = self._told = time.monotonic()
        self.stop.running = True
        if args.process_index == 0:
            for books in self.books:
                books.begin()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Key dropout by step and device, so that a resumed run draws what the undisturbed one draws."""
        torch.manual_seed(key("dropout", self.config.seed, state.global_step, args.process_index) >> 1)
        self._lr = float(kwargs["optimizer"].param_groups[0]["lr"])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """File the step; log, save or stop where it is due."""
        run_s = time.monotonic() - self._started
        for books in self.books:
            books.file(state.global_step, self._lr, run_s)
        last = state.global_step >= self.steps
        wanted, quiet = self._agreed(args)
        if wanted and not last:
            self.granted = control.should_training_stop = control.should_save = True
        if state.global_step % self.config.save_steps == 0 and not last:
            control.should_save = True
        if state.global_step % self.config.log_steps == 0 or last or control.should_save or quiet:
            self._told = time.monotonic()
            for books in self.books:
                books.flush(args.process_index == 0)

    def _agreed(self, args: TrainingArguments) -> tuple[bool, bool]:
        """Whether any device was asked to stop, and whether any has told nothing for long: all of them must stop, and
        add up what they tell, after the same step."""
        flags = [self.stop.wanted, time.monotonic() - self._told >= _QUIET_S]
        if dist.is_available() and dist.is_initialized():
            of_any = torch.tensor(flags, dtype=torch.float32, device=args.device)
            dist.all_reduce(of_any, op=dist.ReduceOp.MAX)
            flags = [bool(flag) for flag in of_any.tolist()]
        return flags[0], flags[1]


def read_losses(path: Path) -> list[dict[str, Any]]:
    """The lines of a loss file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _step(line: str) -> int:
    try:
        found = json.loads(line)
        float(found["wall_s"])
        return int(found["step"])
    except (ValueError, KeyError, TypeError):
        return sys.maxsize  # a line cut off by a kill

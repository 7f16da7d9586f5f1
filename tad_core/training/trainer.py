"""The training loop: transformers' Trainer with the loss, the order and the checkpoints made ours.

The teacher is the student's own weights with the adapter off, so only one model is in memory. The loss of an
optimizer step is normalised by that step's own token counts, so that micro-batches and devices do not show.

Shapes: T tokens of all states of a micro-batch, D hidden size, N rows (near rows in a loss), M distant rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from transformers.integrations import TensorBoardCallback
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME

from tad_core.artifacts.durable import sync
from tad_core.models.lora import base_of, load_weights, save_adapter
from tad_core.models.packed import record_training
from tad_core.models.transformer import TransformerLM
from tad_core.objectives.base import LOGITS_AT_ONCE, LossParts, Objective
from tad_core.presence import make_folder
from tad_core.training import checkpoint
from tad_core.training.adapters import (
    Draws,
    Learning,
    Switch,
    Trained,
    add_up,
    from_first,
    join_states,
    schedule_for,
    split_state,
)
from tad_core.training.arguments import layout_of
from tad_core.training.aside import Aside
from tad_core.training.collate import Batch, Collator, rows_of
from tad_core.training.dataset import StatePlan
from tad_core.training.held import Held
from tad_core.training.packing import LaidOut, packing_of
from tad_core.training.recorder import Recorder
from tad_core.training.tracking import Board


class DistillTrainer(Trainer):  # type: ignore[misc]
    """Trainer of one or several adapters on the states of a plan.

    Several share what does not depend on them: the data, and the teacher's forward. Forward, backward, clipping,
    group of the optimizer, losses and checkpoints are each one's own, so that each ends as it does alone.
    """

    def __init__(
        self,
        model: PeftModel,
        args: TrainingArguments,
        plan: StatePlan,
        collator: Collator,
        adapters: Sequence[Trained],
        recorder: Recorder,
        autocast: bool,
        fused: bool = False,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=plan,
            data_collator=collator,
            callbacks=[recorder, Learning(adapters, plan.steps)],
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.adapters, self.recorder, self.autocast, self.fused = adapters, recorder, autocast, fused
        # The base comes in eval mode, in which no layer is computed again; PEFT's own module says otherwise of itself.
        model.train()
        self._switch = Switch(model)
        base = base_of(model)
        on_gpu, zero = args.device.type == "cuda", self.is_deepspeed_enabled
        stack = None
        if fused and isinstance(base, TransformerLM):
            stack = record_training(base, recorded=on_gpu, kept=zero)
        self._stack = stack if zero else None
        self._held = Held(adapters[0].weights) if zero else None
        self.aside = (
            Aside(base) if fused and on_gpu and not zero and isinstance(base, TransformerLM) else None
        )
        if self.aside is not None:
            self.data_collator = self.aside.behind(collator)
        self._chunk = max(1, LOGITS_AT_ONCE // base.vocab_size)
        self._boards: dict[str, Board] = {}
        if args.report_to:
            for adapter in adapters:
                adapter.books.report = functools.partial(self._report, adapter)
        if not self.is_deepspeed_enabled:
            # No data-parallel wrapper, which wants every weight in every backward pass; see ``_clip_grad_norm``.
            self.accelerator.prepare_model = functools.partial(
                self.accelerator.prepare_model, evaluation_mode=True
            )
            # Each batch goes to the device in its turn: all those of a step may hold more than the embedding does.
            self.accelerator.device_placement = False

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: object = None) -> Tensor:
        """One micro-batch, forward and backward of every adapter; returns its share of the step's losses."""
        del num_items_in_batch  # the counts of the step travel with the batch
        batch = cast(Batch, self._prepare_inputs(inputs))
        teacher_ND = self._teacher_rows(batch)
        draws = Draws(self.args.device) if len(self.adapters) > 1 else None
        if self._held is not None and not self.accelerator.sync_gradients:
            model = self.model  # and not DeepSpeed's engine around it
        total = torch.zeros((), device=self.args.device)
        for adapter, part in zip(self.adapters, batch["parts"], strict=True):
            if draws is not None:
                draws.again()
            self._switch.to(adapter.name)
            snapshot_ND = self._snapshot_rows(adapter, batch)
            with self._precision():
                parts = self._loss(model, adapter.objective, batch, part, teacher_ND, snapshot_ND)
            adapter.books.add(parts, part["totals_T"])
            self._backward(adapter, parts.loss)
            total += parts.loss.detach()
        return total

    def _precision(self) -> torch.autocast:
        # DeepSpeed holds the weights in bfloat16 itself, and switches autocast off in its forward.
        enabled = self.autocast and not self.is_deepspeed_enabled
        return torch.autocast(self.args.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _backward(self, adapter: Trained, loss: Tensor) -> None:
        if self._held is None:
            self.accelerator.backward(loss)
            return
        last = self.accelerator.sync_gradients
        if self._stack is not None:
            self._stack.gives = last
        loss = loss * self.args.world_size  # DeepSpeed averages over devices; a share is to be added
        if not last:
            self._held.add(loss)
            return
        # DeepSpeed changes the weights inside of backward, before anybody sees the gradient.
        adapter.books.check_sums(self.state.global_step + 1)
        self.accelerator.backward(self._held.with_all(loss), scale_wrt_gas=False)

    def _teacher_rows(self, batch: Batch) -> Tensor | None:
        if "teacher" not in batch:
            return None
        with self._precision():
            return self.teacher_rows(batch["teacher"])

    @torch.no_grad()
    def _snapshot_rows(self, adapter: Trained, batch: Batch) -> Tensor | None:
        """What the adapter as it was makes of the student's input; in the first micro-batch of a step it may be taken
        anew."""
        if adapter.snapshot is None:
            return None
        adapter.snapshot.refresh(self.state.global_step)
        with self._precision(), adapter.snapshot.on(), self._switch.without_dropout():
            return self._frozen_rows(batch["student"])

    def _loss(
        self,
        model: nn.Module,
        objective: Objective,
        batch: Batch,
        part: dict[str, Tensor],
        teacher_ND: Tensor | None,
        snapshot_ND: Tensor | None,
    ) -> LossParts:
        laid_out = batch["student"]
        student_ND = model(laid_out["ids_T"], packing=packing_of(laid_out), fused=self.fused)
        rows = [
            rows_of(
                part, term, laid_out["states"], student_ND, snapshot_ND if term.needs_snapshot else teacher_ND
            )
            for term in objective.terms
        ]
        return objective.loss(rows, self._head, part["totals_T"], self._chunk)

    def _head(self, hidden_ND: Tensor) -> Tensor:
        """Logits in the precision of the head's own weights: autocast would round them to 8 bits before the loss."""
        base = base_of(self.model)
        with torch.autocast(self.args.device.type, enabled=False):
            return base.head(hidden_ND.to(base.head_dtype))

    @torch.no_grad()
    def teacher_rows(self, laid_out: LaidOut) -> Tensor:
        """Wanted rows ``[N, D]`` of the base: adapters off, no gradient."""
        with self._switch.off():
            return self._frozen_rows(laid_out)

    def _frozen_rows(self, laid_out: LaidOut) -> Tensor:
        """Wanted rows ``[N, D]`` of which nothing is kept to be computed again.

        The base itself has no dropout, so its modules need not be told; walking through them all takes the host as
        long as half of a forward.
        """
        base = base_of(self.model)
        training, base.training = base.training, False
        try:
            return base.packed(laid_out["ids_T"], packing_of(laid_out), fused=self.fused)
        finally:
            base.training = training

    def _report(self, adapter: Trained, figures: dict[str, float]) -> None:
        if adapter.name in self._boards:
            self._boards[adapter.name].tell(self.state.global_step, figures)
        name = adapter.books.name
        named = {f"{name}/{what}" if name else what: value for what, value in figures.items()}
        self.callback_handler.on_log(self.args, self.state, self.control, named)

    def take_boards(self, names: Sequence[str], step: int) -> None:
        """Open TensorBoard's folders, one for each adapter by its model's name, where that is asked for."""
        if self.pop_callback(TensorBoardCallback) is not None:
            named = zip(self.adapters, names, strict=True)
            self._boards = {adapter.name: Board(name, adapter.mark, step) for adapter, name in named}

    def log(self, *_: Any, **__: Any) -> None:
        """Nothing: this is the Trainer's own, at the end. It adds up the losses of all adapters, and of a run that was
        resumed it divides those since then by the steps of all of it."""

    # --- what the Trainer would do otherwise --------------------------------------------------------

    def _get_train_sampler(self, *_: Any, **__: Any) -> Sampler[int]:
        """The plan's order, as it is."""
        return SequentialSampler(self.train_dataset)

    def _prepare_input(self, data: Any) -> Any:
        """To the device and nothing more: the Trainer's own would round weights of rows to DeepSpeed's dtype."""
        if isinstance(data, Tensor):
            return data.to(self.args.device, non_blocking=True)
        if isinstance(data, list):
            return [self._prepare_input(item) for item in data]
        if isinstance(data, dict):
            return {name: self._prepare_input(item) for name, item in data.items()}
        return data

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with a group for each adapter; under DeepSpeed as the Trainer makes it."""
        if self.is_deepspeed_enabled:
            return cast(torch.optim.Optimizer, super().create_optimizer(model))
        make, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        groups = [{"params": a.weights, "weight_decay": self.args.weight_decay} for a in self.adapters]
        optimizer: torch.optim.Optimizer = make(groups, **settings)
        for adapter in self.adapters:
            from_first(adapter.weights)
        self.optimizer = optimizer
        return optimizer

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Add the gradients of all processes up and clip each adapter's, noting the norm.

        Once a step: with as little as adapters have, there is nothing to gain from doing it during the backward pass.
        A step with a gradient that is not finite ends here, before the optimizer's.
        """
        if self.is_deepspeed_enabled:
            norm = super()._clip_grad_norm(model)
            self.adapters[0].books.add_norm(self.state.global_step + 1, norm)
            return norm
        norms = []
        for adapter in self.adapters:
            add_up(adapter.weights)
            norms.append(torch.nn.utils.clip_grad_norm_(adapter.weights, self.args.max_grad_norm))
        for adapter, norm in zip(self.adapters, norms, strict=True):
            adapter.books.add_norm(self.state.global_step + 1, norm)
        return norms[0]

    def check_weights(self) -> None:
        """Look at what is about to be written.

        Raises:
            TrainingError: a weight of an adapter is not finite.
        """
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and not bool(weight.isfinite().all()):
                owners = (a.books for a in self.adapters if any(weight is own for own in a.weights))
                books = next(owners, self.adapters[0].books)
                raise books.broken(self.state.global_step, f"{name} has weights that are not finite")

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it would walk all parameters every micro-batch."""
        return 0

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save every adapter's, then seal them; older ones go only after that."""
        self.check_weights()
        if self.is_deepspeed_enabled:
            super()._save_checkpoint(model, trial)
        elif self.args.should_save:
            self._write_checkpoints()
        if dist.is_available() and dist.is_initialized():
            dist.barrier()
        if self.args.should_save:
            for adapter in self.adapters:
                # A run that goes on from here after a power cut finds the lines of all steps before.
                sync(adapter.books.path)
                adapter.books.save(adapter.folder(self.state.global_step))
                checkpoint.seal(adapter.folder(self.state.global_step), adapter.mark, layout_of(self.args))
            for adapter in self.adapters:
                checkpoint.clean(adapter.output, adapter.mark)

    def _write_checkpoints(self) -> None:
        states = split_state(self.optimizer.state_dict())
        for adapter, state in zip(self.adapters, states, strict=True):
            folder = adapter.folder(self.state.global_step)
            make_folder(folder)
            save_adapter(self.model, folder, adapter.name)
            adapter.save_own(folder)
            torch.save(state, folder / OPTIMIZER_NAME)
            torch.save(schedule_for(self.lr_scheduler.state_dict(), 1), folder / SCHEDULER_NAME)
            self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """The weights of every adapter at the step of the first's checkpoint."""
        step = checkpoint.step_of(Path(resume_from_checkpoint))
        for adapter in self.adapters:
            load_weights(self.model, adapter.folder(step), adapter.name)
            adapter.load_own(adapter.folder(step))

    def _load_optimizer_and_scheduler(self, checkpoint_folder: str | None) -> None:
        """Optimizer and schedule of every adapter."""
        if self.is_deepspeed_enabled or checkpoint_folder is None:
            super()._load_optimizer_and_scheduler(checkpoint_folder)
            return
        step = checkpoint.step_of(Path(checkpoint_folder))
        folders = [adapter.folder(step) for adapter in self.adapters]
        states = [torch.load(f / OPTIMIZER_NAME, map_location="cpu", weights_only=True) for f in folders]
        self.optimizer.load_state_dict(join_states(states))
        schedule = torch.load(folders[0] / SCHEDULER_NAME, weights_only=True)
        self.lr_scheduler.load_state_dict(schedule_for(schedule, len(folders)))

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing to save: randomness is keyed by step (see ``Recorder.on_step_begin``)."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to load."""

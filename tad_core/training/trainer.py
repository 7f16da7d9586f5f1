"""The training loop: transformers' Trainer with the loss, the order and the checkpoints made ours.

The teacher is the student's own weights with the adapter off, so only one model is in memory. The loss of an
optimizer step is normalised by that step's own token counts, so that micro-batches and devices do not show.

Shapes: B states, W sequence width, D hidden size, N near rows, M distant rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from tad_core.config import DistillConfig
from tad_core.models.lora import base_of
from tad_core.objectives.base import LOGITS_AT_ONCE, LossParts, Objective, Rows
from tad_core.training import checkpoint
from tad_core.training.collate import Batch, Collator
from tad_core.training.dataset import StatePlan
from tad_core.training.recorder import Recorder


class DistillTrainer(Trainer):  # type: ignore[misc]
    """Trainer of an adapter on the states of a plan."""

    def __init__(
        self,
        model: PeftModel,
        args: TrainingArguments,
        plan: StatePlan,
        collator: Collator,
        objective: Objective,
        recorder: Recorder,
        autocast: bool,
        mark: str,
    ) -> None:
        super().__init__(
            model=model, args=args, train_dataset=plan, data_collator=collator, callbacks=[recorder]
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.objective, self.recorder, self.mark = objective, recorder, mark
        self.autocast = autocast
        self._layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
        self._chunk = max(1, LOGITS_AT_ONCE // base_of(model).vocab_size)
        if args.report_to:
            recorder.report = self._report

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: object = None) -> Tensor:
        """One micro-batch, forward and backward; returns its share of the step's loss."""
        del num_items_in_batch  # the counts of the step travel with the batch
        batch = cast(Batch, self._prepare_inputs(inputs))
        # DeepSpeed holds the weights in bfloat16 itself, and switches autocast off in its forward.
        enabled = self.autocast and not self.is_deepspeed_enabled
        with torch.autocast(self.args.device.type, dtype=torch.bfloat16, enabled=enabled):
            parts = self._loss(model, batch)
        # Data-parallel wrappers average over devices; a share is to be added.
        kwargs = {"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}
        self.recorder.add(parts, batch["totals_2"])
        if self.is_deepspeed_enabled and self.accelerator.sync_gradients:
            # DeepSpeed changes the weights inside of backward, before anybody sees the gradient.
            self.recorder.check_sums(self.state.global_step + 1)
        self.accelerator.backward(parts.loss * self.args.world_size, **kwargs)
        return parts.loss.detach()

    def _loss(self, model: nn.Module, batch: Batch) -> LossParts:
        teacher_D: Tensor | None = None
        if self.objective.needs_teacher:
            teacher_D = self.teacher_hidden(batch["teacher_ids_BW"], batch.get("teacher_mask_BW")).flatten(
                0, 1
            )
        model.train()
        student_BWD = model(batch["student_ids_BW"], batch.get("student_mask_BW"), hidden_only=True)
        student_D = student_BWD.flatten(0, 1)
        near = _rows(student_D, teacher_D, batch, "near", "N")
        distant = (
            _rows(student_D, teacher_D, batch, "distant", "M") if self.objective.distant_counts else near
        )
        return self.objective.loss(near, distant, self._head, batch["totals_2"], self._chunk)

    def _head(self, hidden_ND: Tensor) -> Tensor:
        """Logits in the precision of the head's own weights: autocast would round them to 8 bits before the loss."""
        base = base_of(self.model)
        with torch.autocast(self.args.device.type, enabled=False):
            return base.head(hidden_ND.to(base.get_output_embeddings().weight.dtype))

    @torch.no_grad()
    def teacher_hidden(self, ids_BW: Tensor, mask_BW: Tensor | None) -> Tensor:
        """Hidden states ``[B, W, D]`` of the base: adapter off, eval mode, no gradient."""
        self.model.eval()
        with self._adapter_off():
            return base_of(self.model).hidden(ids_BW, mask_BW)

    @contextlib.contextmanager
    def _adapter_off(self) -> Iterator[None]:
        # PEFT's own context manager inspects every parameter each time (10 ms on a small model, a step's worth);
        # under no_grad the switch that its layers read is all that is needed.
        for layer in self._layers:
            layer._disable_adapters = True
        try:
            yield
        finally:
            for layer in self._layers:
                layer._disable_adapters = False

    def _report(self, figures: dict[str, float]) -> None:
        self.callback_handler.on_log(self.args, self.state, self.control, figures)

    # --- what the Trainer would do otherwise --------------------------------------------------------

    def _get_train_sampler(self, *_: Any, **__: Any) -> Sampler[int]:
        """The plan's order, as it is."""
        return SequentialSampler(self.train_dataset)

    def _prepare_input(self, data: Any) -> Any:
        """To the device and nothing more: the Trainer's own would round weights of rows to DeepSpeed's dtype."""
        return {name: tensor.to(self.args.device, non_blocking=True) for name, tensor in data.items()}

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clip, and note the norm; a step whose gradient is not finite ends here, before the optimizer's."""
        norm = super()._clip_grad_norm(model)
        self.recorder.add_norm(self.state.global_step + 1, norm)
        return norm

    def check_weights(self) -> None:
        """Look at what is about to be written.

        Raises:
            TrainingError: a weight of the adapter is not finite.
        """
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and not bool(weight.isfinite().all()):
                raise self.recorder.broken(self.state.global_step, f"{name} has weights that are not finite")

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it would walk all parameters every micro-batch."""
        return 0

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save as usual, then seal; older ones go only after that."""
        self.check_weights()
        super()._save_checkpoint(model, trial)
        if dist.is_available() and dist.is_initialized():
            dist.barrier()
        if self.args.should_save:
            output = Path(self.args.output_dir)
            folder = output / f"{checkpoint.PREFIX}{self.state.global_step}"
            checkpoint.seal(folder, self.mark, layout_of(self.args))
            checkpoint.clean(output, self.mark)

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing to save: randomness is keyed by step (see ``Recorder.on_step_begin``)."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to load."""


def _rows(student_D: Tensor, teacher_D: Tensor | None, batch: Batch, part: str, axis: str) -> Rows:
    teacher_index = batch.get(f"{part}_teacher_{axis}")
    return Rows(
        student_ND=student_D.index_select(0, batch[f"{part}_student_{axis}"]),
        labels_N=batch[f"{part}_labels_{axis}"],
        teacher_ND=None
        if teacher_index is None or teacher_D is None
        else teacher_D.index_select(0, teacher_index),
        weights_N=batch.get(f"{part}_weights_{axis}"),
    )


def layout_of(args: TrainingArguments) -> str:
    """How a checkpoint holds the optimizer's state: whole, or in one part a process, as ZeRO does."""
    return f"ZeRO on {args.world_size} processes" if args.deepspeed else "no ZeRO"


def training_arguments(
    config: DistillConfig, output: Path, world_size: int, device: torch.device
) -> TrainingArguments:
    """The Trainer's settings; the number of steps is still to be set. The processes of the run meet in here."""
    schedule = config.schedule
    if schedule == "constant" and config.warmup_steps:
        schedule = "constant_with_warmup"  # type: ignore[assignment]
    on_gpu = device.type == "cuda"
    return TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.global_batch_size // (config.micro_batch_size * world_size),
        learning_rate=config.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
        seed=config.seed,
        use_cpu=not on_gpu,
        # Autocast is ours (see training_step); only DeepSpeed reads this to fill in its "auto" fields.
        bf16=bool(config.deepspeed) and config.bf16 and on_gpu,
        deepspeed=config.deepspeed,
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=on_gpu,
        # A blocking copy to the device would wait for all queued work, every micro-batch.
        accelerator_config={"non_blocking": on_gpu, "even_batches": True, "use_seedable_sampler": False},
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=list(config.report_to),
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
    )

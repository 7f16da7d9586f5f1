"""What the Trainer of transformers is told of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

from tad_core.config import DistillConfig


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

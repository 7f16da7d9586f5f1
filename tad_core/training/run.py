"""One training run from a spec to an adapter; what every launched process executes."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from tad_core.errors import ConfigError
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.models.lora import add_lora, base_of, save_adapter
from tad_core.objectives import make_objective
from tad_core.training import checkpoint
from tad_core.training.collate import Collator, Tokens
from tad_core.training.dataset import StatePlan, TrainingTable, load_kept, load_references
from tad_core.training.exits import say
from tad_core.training.recorder import LOSSES, Recorder, StopRequest, read_losses
from tad_core.training.spec import TrainingSpec
from tad_core.training.trainer import DistillTrainer, training_arguments

SUMMARY = "summary.json"
ADAPTER = "adapter"


def train(spec: TrainingSpec, stop: StopRequest) -> bool:
    """Train, or go on from the newest checkpoint; False if the run was asked to stop before its end.

    The output folder then holds ``adapter/``, ``losses.jsonl`` and, written last, ``summary.json``.

    Raises:
        TADError: wrong settings, missing or damaged input.
    """
    config, output = spec.distill, Path(spec.output)
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if config.global_batch_size % (config.micro_batch_size * world_size):
        raise ConfigError(
            f"distill.global_batch_size: {config.global_batch_size} is not a multiple of micro_batch_size x devices "
            f"({config.micro_batch_size} x {world_size}); change one of the three"
        )
    output.mkdir(parents=True, exist_ok=True)
    if finished(output, spec.mark):
        return True
    device = pick_device(spec.model.device)
    if spec.model.threads is not None:
        torch.set_num_threads(spec.model.threads)
    objective = make_objective(config, spec.window)
    model = add_lora(load_model(spec.model, str(device)), config.lora, config.seed)
    base = base_of(model)
    base.gradient_checkpointing = config.gradient_checkpointing
    table, too_long = _table(spec, base.eos_token_id)
    plan = StatePlan(table, objective, config)
    collator = Collator(table, plan, objective, Tokens(mask=base.mask_token_id, pad=base.eos_token_id))
    args = training_arguments(config, output, plan.steps, world_size, device)
    recorder = Recorder(output, config, plan.steps, stop)
    autocast = config.bf16 and device.type == "cuda" and torch.cuda.is_bf16_supported()
    trainer = DistillTrainer(model, args, plan, collator, objective, recorder, autocast, spec.mark)

    resumed = checkpoint.newest(output, spec.mark)
    if rank == 0:
        checkpoint.clean(output, spec.mark)
        recorder.resume(checkpoint.step_of(resumed) if resumed else 0)
        start = f"resuming from step {recorder.done_before}" if resumed else "starting"
        say(
            f"{start}: {len(table)} rows, {plan.epoch_states} states an epoch, {plan.steps} steps of "
            f"{config.global_batch_size} on {world_size} x {device.type}"
            + (f"; {too_long} references left out, too long for the response" if too_long else ""),
        )
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if recorder.granted:
        return False
    if rank == 0:
        facts = {"rows": len(table), "too_long": too_long, "states_per_epoch": plan.epoch_states}
        facts["trainable_parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
        _finish(trainer, spec, facts, str(device), autocast)
    return True


def pick_device(device: str) -> torch.device:
    """This process's device: its own GPU under a launcher, the configured one otherwise."""
    if "LOCAL_RANK" in os.environ:
        on_gpu = device != "cpu" and torch.cuda.is_available()
        return torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else "cpu")
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda"):
        return torch.device("cuda:0")  # the one left visible, see hide_other_gpus
    return torch.device(device)


def hide_other_gpus(device: str) -> None:
    """Leave one GPU visible to a process that no launcher started; call before CUDA is first used.

    The Trainer would otherwise split every batch over all GPUs it sees.
    """
    if "LOCAL_RANK" in os.environ or device == "cpu":
        return
    index = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible is not None else [str(i) for i in range(index + 1)]
    if visible == "" and device == "auto":
        return
    if index >= len(names) or visible == "":
        raise ConfigError(
            f"model.device: {device} is not visible (CUDA_VISIBLE_DEVICES={visible}); use auto or cpu"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = names[index]


def finished(output: Path, mark: str) -> bool:
    """Whether this very run is complete in ``output``.

    Raises:
        ConfigError: the folder holds another run.
    """
    path = output / SUMMARY
    if not path.exists():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))["mark"]
    if found != mark:
        raise ConfigError(f"output: {output} holds another finished run; choose another folder, or remove it")
    return True


def _table(spec: TrainingSpec, eos_token_id: int) -> tuple[TrainingTable, int]:
    if spec.distill.objective == "sft":
        assert spec.problems is not None, "the spec's validator asks for it"
        tokenizer = load_tokenizer(spec.model)
        return load_references(spec.problems, tokenizer, eos_token_id, spec.response_length)
    return load_kept(spec.trajectories, spec.verdicts, spec.response_length), 0


def _finish(
    trainer: DistillTrainer, spec: TrainingSpec, facts: dict[str, Any], device: str, autocast: bool
) -> None:
    """Write the adapter, then the summary that says the run is complete."""
    output = Path(spec.output)
    part = output / f".{ADAPTER}.{os.getpid()}"
    save_adapter(trainer.model, part)
    (part / "README.md").unlink(missing_ok=True)  # PEFT's empty form of a model card
    shutil.rmtree(output / ADAPTER, ignore_errors=True)
    part.replace(output / ADAPTER)
    losses = read_losses(output / LOSSES)
    tail = losses[-max(1, len(losses) // 10) :]
    summary = {
        "mark": spec.mark,
        "objective": spec.distill.objective,
        "window": spec.window,
        "steps": len(losses),
        "states": len(losses) * spec.distill.global_batch_size,
        **facts,
        "device": device,
        "autocast_bf16": autocast,
        "wall_s": losses[-1]["wall_s"],
        "states_per_s": round(
            len(losses) * spec.distill.global_batch_size / max(losses[-1]["wall_s"], 1e-3), 2
        ),
        "peak_memory_mib": torch.cuda.max_memory_allocated() >> 20 if device.startswith("cuda") else None,
        "final": {name: sum(row[name] for row in tail) / len(tail) for name in ("loss", "near", "distant")},
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    checkpoint.write_atomic(output / SUMMARY, json.dumps(summary, indent=1) + "\n")

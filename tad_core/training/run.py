"""One training run from a spec to an adapter; what every launched process executes."""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import TrainingArguments

from tad_core.checkpoint import check_model, check_unchanged
from tad_core.config.objectives import OBJECTIVES
from tad_core.data.responses import end_ids
from tad_core.errors import ConfigError
from tad_core.families import family_of
from tad_core.models import float8, quantized
from tad_core.models.compiling import prepare_training
from tad_core.models.loading import load_model, load_tokenizer, threads_kept
from tad_core.models.lora import ALONE, add_lora, inside, save_adapter, weights_of
from tad_core.models.rows import join_layers
from tad_core.models.transformer import TransformerLM
from tad_core.objectives import make_objective
from tad_core.presence import expect
from tad_core.training import checkpoint, tracking
from tad_core.training.adapters import Snapshot, Trained
from tad_core.training.arguments import layout_of, training_arguments
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import (
    StatePlan,
    TrainingTable,
    load_kept,
    load_references,
    on_reference_labels,
    system_prompts,
)
from tad_core.training.device import compiles, pick_device
from tad_core.training.exits import say
from tad_core.training.group import Group
from tad_core.training.marker import (
    DONE,
    hashes_match,
    read_marker,
    sizes_match,
    write_atomic,
    write_marker,
)
from tad_core.training.recorder import LOSSES, Books, Recorder, StopRequest, read_losses
from tad_core.training.spec import AdapterRun, TrainingSpec
from tad_core.training.trainer import DistillTrainer

SUMMARY = "summary.json"
ADAPTER = "adapter"
#: how a base is packed, by ``distill.quantize``
QUANTIZED = {"nf4": quantized.quantize, "fp8": float8.quantize}


def train(spec: TrainingSpec, stop: StopRequest) -> bool:
    """Train, or go on from the newest checkpoint; False if the run was asked to stop before its end.

    The output folder of each adapter then holds ``adapter/``, ``losses.jsonl``, ``summary.json`` and, written last, a
    marker with their hashes.

    Raises:
        TADError: wrong settings, missing or damaged input.
    """
    config, group = spec.distill, Group.here()
    if config.global_batch_size % (config.micro_batch_size * group.size):
        raise ConfigError(
            f"distill.global_batch_size: {config.global_batch_size} is not a multiple of micro_batch_size x devices "
            f"({config.micro_batch_size} x {group.size}); change one of the three"
        )
    device = pick_device(spec.model.device)
    for run in spec.adapters:
        run.output.mkdir(parents=True, exist_ok=True)
        expect(run.output)
    with _settings_of_the_process(spec):
        # The processes of the run meet in here.
        args = training_arguments(config, Path(spec.output), group.size, device)
        for run in spec.adapters:
            group.check_shared(run.output)
        for runs in group.from_first(lambda: passes(spec.adapters, config.save_steps)):
            if not _train_together(spec, runs, args, device, stop):
                return False
            gc.collect()  # trainer and model know each other: or the next pass would load a second model beside this
            args = training_arguments(config, Path(spec.output), group.size, device)
    return True


@contextmanager
def _settings_of_the_process(spec: TrainingSpec) -> Iterator[None]:
    """Torch's threads and TensorBoard's folder while this run lasts: the next one in the process has its own."""
    named = "tensorboard" in spec.distill.report_to and tracking.FOLDER not in os.environ
    if named:  # its default is inside the folder, which goes when the run is done
        os.environ[tracking.FOLDER] = f"runs/tensorboard/{spec.mark}"
    try:
        with threads_kept():
            if spec.model.threads is not None:
                torch.set_num_threads(spec.model.threads)
            yield
    finally:
        if named:
            del os.environ[tracking.FOLDER]


def passes(runs: Sequence[AdapterRun], save_steps: int) -> list[list[AdapterRun]]:
    """Which of the unfinished adapters are trained together: those for which that repeats ``save_steps`` at most.

    One that has come further, alone or in other company, is not set back for the sake of the others.

    Raises:
        ConfigError: a folder holds another run.
    """
    unfinished = [run for run in runs if not finished(run.output, run.mark)]
    together: list[list[AdapterRun]] = []
    for run in unfinished:
        for others in together:
            ends = [_newest([one]) for one in (*others, run)]
            if max(ends) - _newest([*others, run]) <= save_steps:
                others.append(run)
                break
        else:
            together.append([run])
    return together


def _newest(runs: Sequence[AdapterRun]) -> int:
    return checkpoint.newest_of_all([(run.output, run.mark) for run in runs]) or 0


def _train_together(
    spec: TrainingSpec,
    runs: list[AdapterRun],
    args: TrainingArguments,
    device: torch.device,
    stop: StopRequest,
) -> bool:
    """One pass; see ``train``."""
    group = Group.here()
    with group.together():
        trainer, rows = _prepare(spec, runs, args, device, stop)
    step = group.from_first(lambda: _resume(trainer, rows))
    if group.first:
        trainer.take_boards([run.name for run in runs], step)
    trainer.train(resume_from_checkpoint=str(trainer.adapters[0].folder(step)) if step else None)
    if trainer.recorder.granted:
        return False
    trainer.check_weights()
    if group.first:
        for adapter, run in zip(trainer.adapters, runs, strict=True):
            _finish(trainer, adapter, spec, run, rows, str(device))
    return True


@dataclass(frozen=True)
class _Rows:
    """What is trained on, in numbers."""

    rows: int
    too_long: int
    states_per_epoch: int


def _prepare(
    spec: TrainingSpec,
    runs: list[AdapterRun],
    args: TrainingArguments,
    device: torch.device,
    stop: StopRequest,
) -> tuple[DistillTrainer, _Rows]:
    """Model, data and trainer of this process."""
    config = spec.distill
    compiled = compiles(config, device)
    objectives = [make_objective(run.distill, run.window, compiled) for run in runs]
    # Before the weights: what is wrong with the data is said in seconds.
    family = family_of(check_model(spec.model)).name
    table, too_long = _table(spec, family)
    plan = StatePlan(table, objectives[0], config, spec.order)
    alone = len(runs) == 1
    names = [ALONE] if alone else [inside(run.name) for run in runs]
    if config.quantize == "fp8":
        float8.check_gpu(device)  # a host that joined has not been asked
    base = load_model(spec.model, str(device))
    if Group.here().first:
        check_unchanged(spec.model, spec.base)
    if config.quantize != "none":
        QUANTIZED[config.quantize](base)
    if compiled and device.type == "cuda" and isinstance(base, TransformerLM):
        join_layers(base)  # for layers that are recorded
    model = add_lora(base, config.lora, config.seed, names)
    base.gradient_checkpointing = config.gradient_checkpointing
    if compiled:
        prepare_training()
    args.max_steps = plan.steps
    args.output_dir = str(runs[0].output)
    reads_text = any(learner.of_text for objective in objectives for learner in objective.learners)
    ends = end_ids(load_tokenizer(spec.model)) if reads_text else ()
    collator = Collator(table, plan, objectives, Reader.of(base, ends))
    adapters = [
        Trained(
            name=name,
            objective=objective,
            books=Books(run.output, run.distill, objective.terms, plan.steps, "" if alone else run.name),
            mark=run.mark,
            output=run.output,
            weights=(weights := weights_of(model, name)),
            snapshot=Snapshot(weights, objective.snapshot_steps) if objective.needs_snapshot else None,
        )
        for name, objective, run in zip(names, objectives, runs, strict=True)
    ]
    for adapter in adapters:
        adapter.books.learners = adapter.objective.learners
    recorder = Recorder([adapter.books for adapter in adapters], config, plan.steps, stop)
    autocast = config.bf16 and device.type == "cuda" and torch.cuda.is_bf16_supported()
    trainer = DistillTrainer(model, args, plan, collator, adapters, recorder, autocast, compiled)
    return trainer, _Rows(len(table), too_long, plan.epoch_states)


def _resume(trainer: DistillTrainer, rows: _Rows) -> int:
    """The step to go on from; losses and checkpoints after it are dropped. Called in one process."""
    recorder, args = trainer.recorder, trainer.args
    warmup, steps = recorder.config.warmup_steps, recorder.steps
    if warmup >= steps:
        say(
            f"warning: distill.warmup_steps: {warmup} is no less than the {steps} steps of this training, whose "
            "learning rate never reaches its peak; lower it"
        )
    step = checkpoint.newest_of_all([(a.output, a.mark) for a in trainer.adapters]) or 0
    for adapter in trainer.adapters:
        if step:
            checkpoint.check_layout(adapter.folder(step), layout_of(args))
    for adapter in trainer.adapters:
        checkpoint.clean(adapter.output, adapter.mark, until=step)
        adapter.books.resume(step, adapter.folder(step))
    names = [adapter.books.name for adapter in trainer.adapters]
    say(
        f"{f'resuming from step {step}' if step else 'starting'}: {rows.rows} rows, {rows.states_per_epoch} states "
        f"an epoch, {recorder.steps} steps of {recorder.config.global_batch_size} on {args.world_size} x "
        f"{args.device.type}"
        + (f"; {' and '.join(names)} in one pass" if len(names) > 1 else "")
        + (f"; {rows.too_long} references left out, too long for the response" if rows.too_long else ""),
    )
    return step


def finished(output: Path, mark: str) -> bool:
    """Whether this very run is complete in ``output``.

    Raises:
        ConfigError: the folder holds another run.
    """
    if not (output / DONE).exists():
        return False
    try:
        marker = read_marker(output / DONE)
        whole = sizes_match(output, marker) and hashes_match(output, marker)
    except (OSError, ValueError):
        whole = False
    if not whole:
        say(f"warning: what was finished in {output} was damaged; going on from its newest checkpoint")
        return False
    if marker["mark"] != mark:
        raise ConfigError(f"output: {output} holds another finished run; choose another folder, or remove it")
    return True


def _table(spec: TrainingSpec, family: str) -> tuple[TrainingTable, int]:
    config = spec.distill
    if OBJECTIVES[config.objective].trains_on == "references":
        assert spec.problems is not None, "the spec's validator asks for it"
        tokenizer = load_tokenizer(spec.model)
        return load_references(spec.problems, tokenizer, spec.response_length)
    teacher_ids = None
    if config.teacher_prompt == "system":
        assert spec.problems is not None, "the spec's validator asks for it"
        teacher_ids = system_prompts(spec.problems, load_tokenizer(spec.model), family)
    table = load_kept(
        spec.trajectories,
        spec.verdicts,
        spec.response_length,
        teacher_ids,
        config.teacher_prompt == "plain",
        config.trajectories,
    )
    if not config.on_reference_labels:
        return table, 0
    assert spec.problems is not None, "the spec's validator asks for it"
    return on_reference_labels(table, spec.problems, load_tokenizer(spec.model))


def _finish(
    trainer: DistillTrainer, adapter: Trained, spec: TrainingSpec, run: AdapterRun, rows: _Rows, device: str
) -> None:
    """Write the adapter and the summary, then the marker that says its run is complete."""
    output = adapter.output
    (output / DONE).unlink(missing_ok=True)
    part = output / f".{ADAPTER}.{os.getpid()}"
    save_adapter(trainer.model, part, adapter.name)
    shutil.rmtree(output / ADAPTER, ignore_errors=True)
    part.replace(output / ADAPTER)
    losses = read_losses(output / LOSSES)
    tail = losses[-max(1, len(losses) // 10) :]
    names = ("loss", *(term.name for term in adapter.objective.terms))
    summary = {
        "mark": run.mark,
        "objective": run.distill.objective,
        "window": run.window,
        "steps": len(losses),
        "states": len(losses) * spec.distill.global_batch_size,
        **asdict(rows),
        "trainable_parameters": sum(weight.numel() for weight in adapter.weights),
        "processes": trainer.args.world_size,
        "in_one_pass": len(trainer.adapters),
        "device": device,
        "autocast_bf16": trainer.autocast,
        "wall_s": losses[-1]["wall_s"],
        "states_per_s": round(
            len(losses) * spec.distill.global_batch_size / max(losses[-1]["wall_s"], 1e-3), 2
        ),
        "peak_memory_mib": torch.cuda.max_memory_allocated() >> 20 if device.startswith("cuda") else None,
        "final": {name: sum(row[name] for row in tail) / len(tail) for name in names},
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_atomic(output / SUMMARY, json.dumps(summary, indent=1) + "\n")
    files = [*(output / ADAPTER).iterdir(), output / LOSSES, output / SUMMARY]
    write_marker(output / DONE, files, mark=run.mark)

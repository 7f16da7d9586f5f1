"""Distil: train adapters in a process of their own and keep each with its loss curve.

Those that see the same states of the same trajectories are trained in one pass, which is no part of what they are:
each is an artifact of its own, under the key and with the content that it has when trained alone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import TADConfig, dump_config
from tad_core.errors import ConfigError
from tad_core.progress import OnProgress, Progress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.calibrate import read_windows
from tad_core.stages.kept import kept_files
from tad_core.training.command import deepspeed_identity
from tad_core.training.launch import launch
from tad_core.training.spec import AlsoTrained, TrainingSpec

STAGE = "distill"
STAGE_VERSION = 2
FILES = ("losses.jsonl", "summary.json")
_INFO = ("steps", "states", "rows", "wall_s", "states_per_s", "in_one_pass", "final")
ADAPTER = "adapter"

Mode = Literal["quality", "speed", "sft"]
OnLine = Callable[[str], None]

#: settings of the distillation loss, which fine-tuning on references does not have
_TAD_ONLY = ("near", "distant", "weight_distant", "temperature", "teacher_prompt", "filled_states")
_STEP = re.compile(r"^(?:(\w+): )?step (\d+)/(\d+)((?: \S+ \S+)*)$")


def key(
    config: TADConfig,
    mode: Mode,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
) -> str:
    """Fingerprint of an adapter: settings, data and the window's value, whatever it was read from."""
    fields = _fields(config, mode, windows_ref)
    split = config.distill.processes * config.distill.nodes
    if config.distill.lora.dropout > 0 and split > 1:
        fields["processes"] = split  # dropout is drawn by step and device
    fields |= deepspeed_identity(config.distill) | _components(config, mode)
    return _mark(STAGE_VERSION, fields, mode, collection_ref, filtered_ref)


def key_in(
    store: Store,
    config: TADConfig,
    mode: Mode,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
) -> str:
    """The key under which the adapter is in this store, or will be.

    Version 1 had ``micro_batch_size`` in it, which is no part of an adapter's identity, and not what the key says now
    of processes and dtype. An adapter finished then is taken as it is, whatever its micro-batch was. Not one of
    ``sft``, whose references ended otherwise, nor one for which a component has another version since.
    """
    new = key(config, mode, collection_ref, filtered_ref, windows_ref)
    inputs = _inputs(mode, collection_ref, filtered_ref)
    if mode == "sft" or _components(config, mode) or store.find(STAGE, new, inputs):
        return new
    fields = _fields(config, mode, windows_ref)
    settings, batch = fields["distill"], config.distill.global_batch_size
    for micro in sorted(_divisors(batch), key=lambda size: size != config.distill.micro_batch_size):
        fields["distill"] = {**settings, "micro_batch_size": micro}
        old = _mark(1, fields, mode, collection_ref, filtered_ref)
        if store.find(STAGE, old, inputs):
            return old
    return new


def _components(config: TADConfig, mode: Mode) -> dict[str, Any]:
    how = "sft" if mode == "sft" else config.distill.teacher_prompt
    return component_fields({"sft": "distill sft", "system": "distill system"}.get(how, "distill"))


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _fields(config: TADConfig, mode: Mode, windows_ref: ArtifactRef | None) -> dict[str, Any]:
    settings = config.distill.identity()
    settings["objective"] = _objective(config, mode)
    fields: dict[str, Any] = {"mode": mode, "distill": settings, "dtype": config.model.dtype}
    if mode == "sft":
        for name in _TAD_ONLY:
            settings.pop(name, None)
        fields["response_length"] = config.rollout.response_length
    else:
        fields["window"] = window_of(config, mode, windows_ref)
    return fields


def _mark(
    version: int, fields: dict[str, Any], mode: Mode, collection: ArtifactRef, filtered: ArtifactRef
) -> str:
    inputs = [ref.fingerprint for ref in _inputs(mode, collection, filtered)]
    return fingerprint(STAGE, version, fields, inputs)


def passes(config: TADConfig, modes: Sequence[Mode]) -> list[list[Mode]]:
    """Which models are trained together: ``quality`` and ``speed``, whose states are the same.

    Not under DeepSpeed, whose engine has one loss and one optimizer.
    """
    together: list[Mode] = []
    if config.distill.deepspeed is None:
        together = [mode for mode in modes if mode != "sft"]
    return [*([together] if together else []), *([mode] for mode in modes if mode not in together)]


def distill(
    config: TADConfig,
    mode: Mode,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
    store: Store,
    on_progress: OnProgress = silent,
    on_line: OnLine | None = None,
    force: bool = False,
) -> ArtifactRef:
    """One model; see ``distill_together``."""
    found = distill_together(
        config, [mode], collection_ref, filtered_ref, windows_ref, store, on_progress, on_line, force
    )
    return found[mode]


def distill_together(
    config: TADConfig,
    modes: Sequence[Mode],
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
    store: Store,
    on_progress: OnProgress = silent,
    on_line: OnLine | None = None,
    force: bool = False,
) -> dict[Mode, ArtifactRef]:
    """The adapter (``adapter/``), its ``losses.jsonl`` and its ``summary.json``, of every model, trained in one pass.

    Training that was interrupted goes on from its newest checkpoint; of what is there already, nothing is trained.
    ``sft`` fine-tunes on the references of the collection's problems and reads neither verdicts nor windows.

    Args:
        config: the whole configuration.
        modes: one of the lists of ``passes``.
        collection_ref: trajectories and problems.
        filtered_ref: verdicts.
        windows_ref: calibrated windows; None for the fixed ones.
        store: where the adapters are looked for and written.
        on_progress: told of every model's progress, under a stage of its own.
        on_line: told every line of the training process.
        force: train even where an adapter is there.

    Raises:
        ConfigError: the settings do not fit, or the loss diverged.
        DataError: nothing to train on.
        OutOfMemoryError, SubprocessError: the training process failed; what it saved is kept for the next try.
    """
    inputs = {mode: _inputs(mode, collection_ref, filtered_ref) for mode in modes}
    done: dict[Mode, ArtifactRef] = {}
    specs: dict[Mode, TrainingSpec] = {}
    for mode in modes:
        if not force:
            there = key_in(store, config, mode, collection_ref, filtered_ref, windows_ref)
            if found := store.find(STAGE, there, inputs[mode]):
                done[mode] = found
                continue
        mark = key(config, mode, collection_ref, filtered_ref, windows_ref)
        work = store.scratch(STAGE, mark)
        if force:
            shutil.rmtree(work)
            work.mkdir()
        specs[mode] = spec_of(config, mode, collection_ref, filtered_ref, windows_ref, work, mark)
    if specs:
        _train(specs, on_progress, on_line)
    for mode, spec in specs.items():
        mark = key(config, mode, collection_ref, filtered_ref, windows_ref)
        done[mode] = _keep(config, mode, spec, mark, inputs[mode], store)
        shutil.rmtree(spec.output, ignore_errors=True)
    return {mode: done[mode] for mode in modes}


def _train(specs: dict[Mode, TrainingSpec], on_progress: OnProgress, on_line: OnLine | None) -> None:
    (first, spec), *others = specs.items()
    also = [
        AlsoTrained(name=mode, window=other.window, run_id=other.mark, output=other.output)
        for mode, other in others
        if other.window is not None
    ]
    assert len(also) == len(others), "only models with a window are trained together"

    def tell(line: str) -> None:
        if (progress := parse_step(line, first)) is not None:
            on_progress(progress)
        if on_line is not None:
            on_line(line)

    launch(spec.model_copy(update={"name": first, "also": also}), tell)


def _keep(
    config: TADConfig, mode: Mode, spec: TrainingSpec, mark: str, inputs: list[ArtifactRef], store: Store
) -> ArtifactRef:
    """The artifact of a finished run."""
    output = Path(spec.output)
    settings = {"mode": mode, "window": spec.window, **spec.distill.model_dump(mode="json")}
    with store.writer(STAGE, STAGE_VERSION, mark, settings, inputs) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        for source in sorted((output / ADAPTER).iterdir()):
            shutil.copyfile(source, writer.path(f"{ADAPTER}/{source.name}"))
        for name in FILES:
            shutil.copyfile(output / name, writer.path(name))
        summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
        info = {name: summary[name] for name in _INFO}
        return writer.commit({"mode": mode, "window": spec.window, **info})


def spec_of(
    config: TADConfig,
    mode: Mode,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
    output: Path,
    mark: str,
) -> TrainingSpec:
    """What the training process is told. Checkpoints are good for this adapter of these very files only."""
    inputs = _inputs(mode, collection_ref, filtered_ref)
    sft = mode == "sft"
    reads_problems = sft or config.distill.teacher_prompt == "system"
    shards, verdicts = ([], []) if sft else kept_files(collection_ref, filtered_ref)
    return TrainingSpec(
        run_id=fingerprint("training", STAGE_VERSION, {"run": mark}, [ref.digest for ref in inputs]),
        model=config.model,
        distill=config.distill.model_copy(update={"objective": _objective(config, mode)}),
        trajectories=shards,
        verdicts=verdicts,
        problems=str(collection_ref.local("problems.jsonl")) if reads_problems else None,
        response_length=config.rollout.response_length,
        window=None if sft else window_of(config, mode, windows_ref),
        output=str(output),
    )


def window_of(config: TADConfig, mode: Mode, windows_ref: ArtifactRef | None) -> int:
    """The window of a mode: calibrated, or the fixed one where no calibration is given.

    Raises:
        ConfigError: neither is there.
    """
    if windows_ref is not None:
        return read_windows(windows_ref)[mode]
    fixed = config.calibrate.quality_window if mode == "quality" else config.calibrate.speed_window
    if fixed is None:
        raise ConfigError(
            f"calibrate.{mode}_window: not set and no calibration is given; set it, or calibrate"
        )
    return fixed


def parse_step(line: str, mode: str) -> Progress | None:
    """The progress that a line ``step i/n name value …`` of the training process reports, of ``mode`` or of the model
    that the line names."""
    match = _STEP.match(line)
    if match is None:
        return None
    words = match[4].split()
    figures: dict[str, float | int | str] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        try:
            figures[name] = float(value)
        except ValueError:
            figures[name] = value
    return Progress(f"{STAGE} {match[1] or mode}", int(match[2]), int(match[3]), "steps", figures)


def _objective(config: TADConfig, mode: Mode) -> Literal["tad", "sft"]:
    if mode == "sft":
        return "sft"
    if config.distill.objective == "sft":
        raise ConfigError(
            f"distill.objective: sft gives no {mode} model; leave it at tad and add sft to evaluate.models"
        )
    return config.distill.objective


def _inputs(mode: Mode, collection_ref: ArtifactRef, filtered_ref: ArtifactRef) -> list[ArtifactRef]:
    return [collection_ref] if mode == "sft" else [collection_ref, filtered_ref]

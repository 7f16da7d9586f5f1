"""Distil: train adapters in a process of their own and keep each with its loss curve.

What can be trained is the table of models. Those that see the same states of the same trajectories are trained in one
pass, which is no part of what they are: each is an artifact of its own, under the key and with the content that it has
when trained alone.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import TADConfig, dump_config
from tad_core.config.objectives import OF_THE_LOSS
from tad_core.progress import OnProgress, Progress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import claimed
from tad_core.stages.kept import kept_files
from tad_core.stages.variants import inputs_of, on_references, order_of, variant_of, window_of
from tad_core.training import checkpoint
from tad_core.training.command import deepspeed_identity
from tad_core.training.folder import owned, start_anew
from tad_core.training.launch import Start, launch
from tad_core.training.marker import finished_run
from tad_core.training.spec import AlsoTrained, TrainingSpec

STAGE = "distill"
STAGE_VERSION = 2
FILES = ("losses.jsonl", "summary.json")
_INFO = ("steps", "states", "rows", "wall_s", "states_per_s", "in_one_pass", "final")
ADAPTER = "adapter"

OnLine = Callable[[str], None]

_STEP = re.compile(r"^(?:([\w-]+): )?step (\d+)/(\d+)((?: \S+ \S+)*)$")


def key(
    config: TADConfig,
    mode: str,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
) -> str:
    """Fingerprint of an adapter: settings, data and the window's value, whatever it was read from."""
    fields = _fields(config, mode, windows_ref)
    settings = variant_of(config, mode).distill
    split = settings.processes * settings.nodes
    if settings.lora.dropout > 0 and split > 1:
        fields["processes"] = split  # dropout is drawn by step and device
    fields |= deepspeed_identity(settings) | _components(config, mode)
    if (order := order_of(config, mode, collection_ref, filtered_ref)) != "shuffled":
        fields["order"] = order
    return _mark(STAGE_VERSION, fields, inputs_of(config, mode, collection_ref, filtered_ref))


def key_in(
    store: Store,
    config: TADConfig,
    mode: str,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
) -> str:
    """The key under which the adapter is in this store, or will be.

    Version 1 had ``micro_batch_size`` in it, which is no part of an adapter's identity, and not what the key says now
    of processes and dtype. An adapter finished then is taken as it is, whatever its micro-batch was. Not one trained
    on references, which ended otherwise, nor one for which a component has another version since, nor one whose states
    were in another order.
    """
    new = key(config, mode, collection_ref, filtered_ref, windows_ref)
    inputs, variant = inputs_of(config, mode, collection_ref, filtered_ref), variant_of(config, mode)
    keyed = order_of(config, mode, collection_ref, filtered_ref) == "keyed"
    if on_references(variant) or _components(config, mode) or keyed or store.find(STAGE, new, inputs):
        return new
    fields = _fields(config, mode, windows_ref)
    settings, batch = fields["distill"], variant.distill.global_batch_size
    for micro in sorted(_divisors(batch), key=lambda size: size != config.distill.micro_batch_size):
        fields["distill"] = {**settings, "micro_batch_size": micro}
        old = _mark(1, fields, inputs)
        if store.find(STAGE, old, inputs):
            return old
    return new


def _components(config: TADConfig, mode: str) -> dict[str, Any]:
    """What other versions than the first there are of what it is made of."""
    variant = variant_of(config, mode)
    own = {"objective_version": variant.kind.version} if variant.kind.version > 1 else {}
    if on_references(variant):
        return component_fields("distill sft") | own
    if variant.distill.on_reference_labels:
        return component_fields("distill labels") | own
    return (
        component_fields("distill system" if variant.distill.teacher_prompt == "system" else "distill") | own
    )


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _fields(config: TADConfig, mode: str, windows_ref: ArtifactRef | None) -> dict[str, Any]:
    variant = variant_of(config, mode)
    settings = {n: v for n, v in variant.distill.identity().items() if n not in variant.kind.lacks}
    fields: dict[str, Any] = {"mode": mode, "distill": settings, "dtype": config.model.dtype}
    if on_references(variant):
        fields["response_length"] = config.rollout.response_length
    if variant.kind.windowed:
        fields["window"] = window_of(config, mode, windows_ref)
    return fields


def _mark(version: int, fields: dict[str, Any], inputs: Sequence[ArtifactRef]) -> str:
    return fingerprint(STAGE, version, fields, [ref.fingerprint for ref in inputs])


def distill(
    config: TADConfig,
    mode: str,
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
    modes: Sequence[str],
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
    store: Store,
    on_progress: OnProgress = silent,
    on_line: OnLine | None = None,
    force: bool = False,
    start: Start | None = None,
    go_on: bool = False,
    on_begun: Callable[[], None] = lambda: None,
) -> dict[str, ArtifactRef]:
    """The adapter (``adapter/``), its ``losses.jsonl`` and its ``summary.json``, of every model, trained in one pass.

    Training that was interrupted goes on from its newest checkpoint; of what is there already, nothing is trained, and
    what another run trains now is waited for.
    What is trained on references takes those of the collection's problems and reads neither verdicts nor windows.

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
        start: starts the training process otherwise than as a fresh one.
        go_on: with ``force``, from the checkpoints that are there: an earlier try of the same run wrote them.
        on_begun: told when with ``force`` nothing is left that could be gone on from.

    Raises:
        ConfigError: the settings do not fit, or the loss diverged.
        DataError: nothing to train on.
        OutOfMemoryError, SubprocessError: the training process failed; what it saved is kept for the next try.
    """
    made_from = collection_ref, filtered_ref, windows_ref
    wanted = {mode: _Adapter(config, mode, *made_from, store) for mode in modes}

    def find(own: _Adapter) -> ArtifactRef | None:
        return None if force else own.find()

    done = {mode: found for mode, own in wanted.items() if (found := find(own)) is not None}
    with contextlib.ExitStack() as claims:
        missing = [own for mode, own in wanted.items() if mode not in done]
        for own in sorted(missing, key=lambda own: own.mark):
            claim = claimed(store, STAGE, own.mark, config.rollout.lease_s, partial(find, own))
            if (found := claims.enter_context(claim)) is not None:
                done[own.mode] = found
        left = [own for own in missing if own.mode not in done]
        with store.scratch_errors():
            claims.enter_context(owned([own.work for own in left]))
        for own in left:
            if (found := find(own)) is not None:  # by whom the folder belonged to until now
                done[own.mode] = found
                shutil.rmtree(own.work, ignore_errors=True)
        specs = {mode: own.spec(anew=force and not go_on) for mode, own in wanted.items() if mode not in done}
        on_begun()
        if specs:
            with store.scratch_errors():
                _train(specs, on_progress, on_line, start)
        for mode, spec in specs.items():
            done[mode] = wanted[mode].keep(spec)
    return {mode: done[mode] for mode in modes}


@dataclass(frozen=True)
class _Adapter:
    """One model of a run: what its adapter is made from, and where it is looked for, trained and kept."""

    config: TADConfig
    mode: str
    collection: ArtifactRef
    filtered: ArtifactRef
    windows: ArtifactRef | None
    store: Store

    @cached_property
    def mark(self) -> str:
        """Its key as it is made now."""
        return key(self.config, self.mode, self.collection, self.filtered, self.windows)

    @cached_property
    def inputs(self) -> list[ArtifactRef]:
        """Of its manifest."""
        return inputs_of(self.config, self.mode, self.collection, self.filtered)

    @property
    def work(self) -> Path:
        """The folder in which it is trained."""
        return self.store.scratch(STAGE, self.mark)

    def find(self) -> ArtifactRef | None:
        """The finished adapter, under whichever key it is there."""
        there = key_in(self.store, self.config, self.mode, self.collection, self.filtered, self.windows)
        return self.store.find(STAGE, there, self.inputs)

    def spec(self, anew: bool) -> TrainingSpec:
        """What the training process is told; ``anew`` drops what an earlier one saved.

        So does another content of the inputs: what was finished from the old one, and not kept, is good for nothing.
        """
        work = self.work
        spec = spec_of(self.config, self.mode, self.collection, self.filtered, self.windows, work, self.mark)
        if anew or finished_run(work) not in (None, spec.mark):
            start_anew(work)
        return spec

    def keep(self, spec: TrainingSpec) -> ArtifactRef:
        """The artifact of a finished training, whose working folder goes."""
        config, mode, output = self.config, self.mode, Path(spec.output)
        settings = {"mode": mode, "window": spec.window, **spec.distill.model_dump(mode="json")}
        with self.store.writer(STAGE, STAGE_VERSION, self.mark, settings, self.inputs) as writer:
            writer.write_text(CONFIG_NAME, dump_config(config))
            for source in sorted((output / ADAPTER).iterdir()):
                shutil.copyfile(source, writer.path(f"{ADAPTER}/{source.name}"))
            if (block := variant_of(config, mode).attention_block) is not None:
                name, text = _decoder_file(config, block)
                writer.write_text(f"{ADAPTER}/{name}", text)
            for name in FILES:
                shutil.copyfile(output / name, writer.path(name))
            summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
            info = {name: summary[name] for name in _INFO}
            kept = writer.commit({"mode": mode, "window": spec.window, "base": spec.base, **info})
        shutil.rmtree(output, ignore_errors=True)
        return kept


def _train(
    specs: dict[str, TrainingSpec], on_progress: OnProgress, on_line: OnLine | None, start: Start | None
) -> None:
    (first, spec), *others = specs.items()
    also = [
        AlsoTrained(
            name=mode,
            window=other.window,
            loss={n: v for n, v in sorted(other.distill.model_dump(mode="json").items()) if n in OF_THE_LOSS},
            run_id=other.mark,
            output=other.output,
        )
        for mode, other in others
    ]

    def tell(line: str) -> None:
        if (progress := parse_step(line, first)) is not None:
            on_progress(progress)
        if on_line is not None:
            on_line(line)

    launch(spec.model_copy(update={"name": first, "also": also}), tell, start)


def _decoder_file(config: TADConfig, block: int) -> tuple[str, str]:
    """What goes with an adapter that reads block by block wherever it goes; nothing of how a run evaluates it."""
    from tad_core.checkpoint import check_model
    from tad_core.decoding.decoder_file import NAME, decoder_text
    from tad_core.decoding.spec import DecodeSpec

    spec = DecodeSpec(
        config.rollout.response_length, block, "entropy", 0.5, 0.1, attention="block_causal", cache="blocks"
    )
    return NAME, decoder_text(spec, int(check_model(config.model)["mask_token_id"]))


def spec_of(
    config: TADConfig,
    mode: str,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    windows_ref: ArtifactRef | None,
    output: Path,
    mark: str,
) -> TrainingSpec:
    """What the training process is told. Checkpoints are good for this adapter of these very files only."""
    inputs, variant = inputs_of(config, mode, collection_ref, filtered_ref), variant_of(config, mode)
    references = on_references(variant)
    settings = variant.distill
    reads_problems = references or settings.teacher_prompt == "system" or settings.on_reference_labels
    shards, verdicts = (
        ([], []) if references else kept_files(collection_ref, filtered_ref, settings.trajectories)
    )
    if settings.answers == "any":
        verdicts = []
    return TrainingSpec(
        base=collection_ref.manifest.info.get("base"),
        run_id=fingerprint("training", STAGE_VERSION, {"run": mark}, [ref.digest for ref in inputs]),
        model=config.model,
        distill=settings,
        trajectories=shards,
        verdicts=verdicts,
        problems=str(collection_ref.local("problems.jsonl")) if reads_problems else None,
        response_length=config.rollout.response_length,
        window=window_of(config, mode, windows_ref) if variant.kind.windowed else None,
        order=order_of(config, mode, collection_ref, filtered_ref),
        output=str(output),
    )


def saved_step(store: Store, mark: str) -> int | None:
    """The step of the newest checkpoint of a training that is not finished; None without one."""
    work = store.scratch_there(STAGE, mark)
    return None if work is None else checkpoint.last_step(work)


def parse_step(line: str, mode: str) -> Progress | None:
    """The progress that a line ``step i/n name value …`` of the training process reports, of ``mode`` or of the model
    that the line names; the first line of a run has no figures."""
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

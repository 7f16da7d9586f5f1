"""The plan itself: what each stage does, how long it takes, what it needs, and whether that is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from math import ceil
from typing import Any

from tad_core.config import DecoderConfig, TADConfig, decoder_of, own_decoder, variants
from tad_core.config.objectives import OBJECTIVES
from tad_core.planning.counts import Counts
from tad_core.planning.decoding import evaluation_work
from tad_core.planning.machines import Machine
from tad_core.planning.memory import (
    batch_of,
    decoding_gib,
    passes_of,
    peak_gib,
    too_much,
    training_choices,
    weights_gib,
)
from tad_core.planning.speeds import Pace, Speeds, calibration_flops, sample_flops, state_flops
from tad_core.shapes import GIB, Shape
from tad_core.stages.pipeline import trained_models
from tad_core.stages.rounds import learns_from_plain, rounds
from tad_core.workers.devices import cpu_workers

#: Tokens a forward of multi-block decoding at any threshold, since it is not known before: the paper has 4 to 9.
ASSUMED_TPF = 4.0


@dataclass(frozen=True)
class StageEstimate:
    """One stage.

    Attributes:
        stage: its name.
        work: what it does, in words.
        wall_s: seconds; None where the machine's speed is not known.
        gpu_hours: of all its GPUs together; None without a GPU or a known speed.
        memory_gib: peak on one device; on a CPU of all processes together.
        basis: where the speed comes from.
    """

    stage: str
    work: str
    wall_s: float | None
    gpu_hours: float | None
    memory_gib: float
    basis: str


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        name, machine, model: the set-up, where it would run, and what was read of the model.
        counts: problems, samples, states, steps.
        stages: in order.
        disk_gib: that the store will take.
        problems: what will not fit, each with what to change.
        notes: what was assumed.
    """

    name: str
    machine: str
    model: str
    parameters: int
    counts: Counts
    stages: list[StageEstimate]
    disk_gib: float
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def wall_s(self) -> float | None:
        """All stages, one after the other; None if one of them is not known."""
        known = [stage.wall_s for stage in self.stages]
        return None if any(s is None for s in known) else sum(s for s in known if s is not None)

    @property
    def gpu_hours(self) -> float | None:
        """All stages together; None without a GPU or where a speed is not known."""
        known = [stage.gpu_hours for stage in self.stages if stage.gpu_hours is not None]
        return sum(known) if known else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "wall_s": self.wall_s, "gpu_hours": self.gpu_hours}


def estimate(
    config: TADConfig, shape: Shape, read_from: str, counts: Counts, machine: Machine, speeds: Speeds
) -> Estimate:
    """Put it together; pure arithmetic."""
    stages = [
        _collect(config, shape, counts, machine, speeds.rollout),
        _filter(counts, speeds),
        _calibrate(config, shape, counts, machine, speeds),
        *_rounds(config, shape, counts, machine, speeds),
        _distill(config, shape, counts, machine, speeds.train),
        _evaluate(config, shape, counts, machine, speeds),
    ]
    disk = disk_gib(config, shape, counts)
    notes = [*counts.notes]
    if config.rollout.finish_early:
        notes.append("rollouts are counted with every step; those whose text ends early take less")
    if speeds.ways is None:
        notes.append(
            f"multi-block decoding is counted at {ASSUMED_TPF:g} tokens a forward, which only the run can tell"
        )
    notes += training_choices(config, shape, counts)
    if any(stage.wall_s is None for stage in stages):
        notes.append(
            "how fast this machine is at it is not known: --measure tries it, --gpu NAME plans for another"
        )
    return Estimate(
        name=config.name,
        machine=machine.title,
        model=f"{config.model.path} ({read_from})",
        parameters=shape.parameters,
        counts=counts,
        stages=stages,
        disk_gib=disk,
        problems=_problems(config, shape, counts, machine, stages, disk),
        notes=notes,
    )


def disk_gib(config: TADConfig, shape: Shape, counts: Counts) -> float:
    """Trajectories, and of each model its adapter and two checkpoints with optimizer state, all in float32."""
    table = variants(config)
    adapters = [4 * shape.lora(table[name].distill.lora) for name in trained_models(config)]
    trajectories = counts.samples * (12 * config.rollout.response_length + 8192)
    own = rounds(config)
    width = 4 if config.model.dtype == "float32" else 2
    # Each round has trajectories of its own, at most twice as many, and the weights that it begins from.
    more = len(own) * (2 * trajectories + width * shape.parameters)
    return ((64 << 20) + trajectories + more + sum(adapters) + 2 * 3 * max(adapters, default=0)) / GIB


def _collect(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, pace: Pace | None
) -> StageEstimate:
    rollout = config.rollout
    here = rollout.workers or (machine.count if machine.gpu else cpu_workers(config.model))
    workers = here * rollout.hosts
    batch = batch_of(config, shape, counts, "collect", machine.memory_gib if machine.gpu else None)
    forwards = counts.samples / batch * rollout.response_length
    memory = decoding_gib(config, shape, batch, counts.teacher, rollout.cache.mode != "none")
    return _stage(
        "collect",
        f"{counts.samples:,} samples in {counts.shards:,} shard{'s' * (counts.shards > 1)}, "
        f"{workers} worker{'s' * (workers > 1)}",
        pace,
        counts.samples * sample_flops(config, shape, counts),
        forwards,
        workers,
        machine,
        # Workers on a CPU are forks that share the weights.
        memory if machine.gpu else memory * here - weights_gib(config, shape) * (here - 1),
    )


def _calibrate(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, speeds: Speeds
) -> StageEstimate:
    settings, pace = config.calibrate, speeds.calibrate or speeds.decode
    work = settings.states * calibration_flops(config, shape, counts)
    memory = decoding_gib(config, shape, settings.batch_size, counts.student)
    forwards = settings.states / settings.batch_size
    return _stage("calibrate", f"{settings.states:,} states", pace, work, forwards, 1, machine, memory)


def _distill(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, pace: Pace | None
) -> StageEstimate:
    distill = config.distill
    devices = distill.processes * distill.nodes
    groups, work, forwards = passes_of(config), 0.0, 0.0
    length = config.rollout.response_length
    for own, group in groups:
        kind = OBJECTIVES[own.distill.objective]
        states = sum(counts.by_model.get(name, counts.states) for name in group)
        work += kind.inputs * states * state_flops(own, shape, counts, len(group))
        if kind.snapshot:
            work += kind.inputs * states * shape.forward(counts.student + length, length / 2)
        # a backward pass takes about as long as two forwards
        forwards += 4 * states / own.distill.micro_batch_size
    most = max((len(group) for _, group in groups), default=1)
    together = "" if most == 1 else ", both in one pass" if most == 2 else f", {most} of them in one pass"
    if counts.by_model:
        together += f"; another number of states: {', '.join(counts.by_model)}"
    return _stage(
        "distill",
        f"{counts.models} x {counts.steps:,} steps of {distill.global_batch_size} states, {devices} process"
        + "es" * (devices > 1)
        + together,
        pace,
        work,
        forwards,
        devices,
        machine,
        peak_gib(config, shape, counts),
    )


def _rounds(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, speeds: Speeds
) -> list[StageEstimate]:
    """Rollouts, verdicts and windows of each round; its training is counted with all others."""
    found = []
    for own in rounds(config):
        plain = counts.problems if learns_from_plain(config, own) else config.rollout.compare_plain
        pools = counts.problems, plain
        shards = sum(-(-pool // config.rollout.shard_size) for pool in pools)
        again = replace(counts, samples=sum(pools) * config.rollout.samples, shards=shards)
        alone = config.model_copy(update={"rollout": config.rollout.model_copy(update={"hosts": 1})})
        made = (
            _collect(alone, shape, again, machine, speeds.rollout),
            _filter(again, speeds),
            _calibrate(config, shape, counts, machine, speeds),
        )
        found += [replace(stage, work=f"{stage.work}, {own.title}") for stage in made]
    return found


def _filter(counts: Counts, speeds: Speeds) -> StageEstimate:
    return StageEstimate(
        "filter",
        f"{counts.samples:,} texts, {counts.programs:.0%} of them programs",
        counts.samples * speeds.text_s,
        None,
        0.0,
        speeds.judged,
    )


def _evaluate(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, speeds: Speeds
) -> StageEstimate:
    settings, length = config.evaluate, config.rollout.response_length
    one_by_one, multi_block = speeds.ways or (length, length / ASSUMED_TPF)
    table, works = variants(config), []
    for name in settings.models:
        block = table[name].attention_block if name in table else None
        decoder, own = decoder_of(config, name), own_decoder(config, name)
        works.append(evaluation_work(config, shape, counts, one_by_one, block))
        ways = [_forwards(decoder, threshold, length, multi_block) for threshold in decoder.thresholds]
        if block is not None and own is None:
            ways += [multi_block] * len(settings.pipeline.thresholds)
        works += [evaluation_work(config, shape, counts, each, block, decoder) for each in ways]
    forwards = counts.prompts * sum(one.forwards for one in works)
    slices = len(works) * -(-counts.prompts // settings.slice_size)
    usual = len(settings.models) * (1 + len(set(settings.thresholds)))
    told = f"{1 + len(set(settings.thresholds))} ways"
    if any(own_decoder(config, name) is not None for name in settings.models):
        told = f"their own ways, {len(works)} together"
    elif len(works) > usual:
        told += f" and {len(works) - usual} more that D2F decodes"
    processes, at_once = _decoding(config, slices, machine)
    batch = batch_of(config, shape, counts, "evaluate", machine.memory_gib if machine.gpu else None)
    return _stage(
        "evaluate",
        f"{len(settings.models)} models x {counts.prompts:,} prompts x {told}, "
        f"{processes} process{'es' * (processes > 1)}",
        speeds.decode,
        counts.prompts * sum(one.flops for one in works),
        forwards / batch,
        at_once,
        machine,
        decoding_gib(config, shape, batch, counts.task, settings.decode.cache.mode != "none"),
    )


def _forwards(decoder: DecoderConfig, threshold: float, length: int, multi_block: float) -> float:
    """Forwards of a response: what the method is told, where that is what it is told."""
    if decoder.method == "fixed_budget":
        return min(threshold, length)
    if decoder.method == "low_confidence":
        return length / decoder.block_length * ceil(decoder.block_length / max(threshold, 1))
    return multi_block


def _decoding(config: TADConfig, slices: int, machine: Machine) -> tuple[int, float]:
    """Processes that decode in evaluation, and how many of them are at work on average.

    On GPUs ``s`` slices of all models go to ``n`` processes in ``ceil(s / n)`` rounds, of which the last may leave some
    idle; on a CPU they are many and small.
    """
    settings = config.evaluate
    if not machine.gpu:
        processes = settings.workers or _cores()
        return processes, processes
    processes = 1 if config.model.device.startswith("cuda:") else settings.workers or max(1, machine.count)
    return processes, max(1, slices) / -(-max(1, slices) // processes)


def _stage(
    name: str,
    work: str,
    pace: Pace | None,
    flops: float,
    forwards: float,
    devices: float,
    machine: Machine,
    memory_gib: float,
) -> StageEstimate:
    wall_s = pace.seconds(flops, forwards) / devices if pace else None
    gpu_hours = wall_s * devices / 3600 if wall_s is not None and machine.gpu else None
    return StageEstimate(name, work, wall_s, gpu_hours, memory_gib, pace.source if pace else "not known")


def _problems(
    config: TADConfig,
    shape: Shape,
    counts: Counts,
    machine: Machine,
    stages: list[StageEstimate],
    disk: float,
) -> list[str]:
    found: list[str] = []
    if machine.gpu:
        found += too_much(config, shape, counts, machine.memory_gib)
    else:
        for stage, field_name in (("collect", "rollout.workers"), ("distill", "distill.micro_batch_size")):
            need = next(s.memory_gib for s in stages if s.stage == stage)
            if need > machine.memory_gib:
                found.append(
                    f"{stage} needs {need:.0f} GiB of this machine's {machine.memory_gib:.0f}; lower {field_name}, "
                    "or plan for a GPU with --gpu"
                )
    for field_name, wanted in (
        ("rollout.workers", config.rollout.workers),
        ("distill.processes", config.distill.processes),
        ("evaluate.workers", config.evaluate.workers),
    ):
        if machine.gpu and wanted and wanted > machine.count:
            found.append(
                f"{field_name} {wanted} needs as many GPUs and there are {machine.count}; set it to {machine.count}"
            )
    if machine.free_disk_gib is not None and disk > machine.free_disk_gib:
        found.append(
            f"the store takes about {disk:.1f} GiB and {machine.free_disk_gib:.1f} are free; set store to another disk"
        )
    return found


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

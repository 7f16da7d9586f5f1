"""What each stage of a run does and how long it takes, from counts, sizes and speeds; pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from tad_core.config import DecoderConfig, TADConfig, decoder_of, own_decoder, variants
from tad_core.config.objectives import OBJECTIVES
from tad_core.planning.counts import Counts
from tad_core.planning.decoding import evaluation_work
from tad_core.planning.machines import Machine, share_of
from tad_core.planning.memory import batch_of, decoding_gib, passes_of, peak_gib, stage_gib, weights_gib
from tad_core.planning.speeds import Pace, Speeds, calibration_flops, sample_flops, state_flops
from tad_core.shapes import Shape
from tad_core.stages.rounds import learns_from_plain, rounds
from tad_core.workers.devices import cpu_decoders, cpu_workers

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


def collecting(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, pace: Pace | None
) -> StageEstimate:
    """Rollouts with the reference, and those that they are compared with."""
    rollout = config.rollout
    here = rollout.workers or (machine.count if machine.gpu else cpu_workers(config.model))
    workers = here * rollout.hosts
    batch = batch_of(config, shape, counts, "collect", machine.memory_gib if machine.gpu else None)
    forwards = counts.samples / batch * rollout.response_length
    memory = stage_gib(config, shape, "collect", batch, counts.teacher)
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


def filtering(counts: Counts, speeds: Speeds) -> StageEstimate:
    """Verdicts of the rollouts."""
    return StageEstimate(
        "filter",
        f"{counts.samples:,} texts, {counts.programs:.0%} of them programs",
        counts.samples * speeds.text_s,
        None,
        0.0,
        speeds.judged,
    )


def calibrating(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, speeds: Speeds
) -> StageEstimate:
    """The student's confidence in states of the rollouts, from which the windows are read."""
    settings, pace = config.calibrate, speeds.calibrate or speeds.decode
    work = settings.states * calibration_flops(config, shape, counts)
    memory = decoding_gib(config, shape, settings.batch_size, counts.student)
    forwards = settings.states / settings.batch_size
    return _stage("calibrate", f"{settings.states:,} states", pace, work, forwards, 1, machine, memory)


def further_rounds(
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
            collecting(alone, shape, again, machine, speeds.rollout),
            filtering(again, speeds),
            calibrating(config, shape, counts, machine, speeds),
        )
        found += [replace(stage, work=f"{stage.work}, {own.title}") for stage in made]
    return found


def distilling(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, pace: Pace | None
) -> StageEstimate:
    """Training of all models, those of one pass together."""
    distill = config.distill
    devices = distill.processes * distill.nodes
    groups, work, forwards = passes_of(config), 0.0, 0.0
    length = config.rollout.response_length
    for own, group in groups:
        kind = OBJECTIVES[own.distill.objective]
        states = sum(counts.by_model.get(name, counts.states) for name in group)
        each = state_flops(own, shape, counts, len(group))
        if kind.snapshot:
            each += shape.forward(counts.student + length, length / 2)
        if machine.gpu is not None:  # the pace is of the run's own settings
            each *= share_of(distill, machine.gpu) / share_of(own.distill, machine.gpu)
        work += kind.inputs * states * each
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
        peak_gib(config, shape, counts) * (1 if machine.gpu else distill.processes),
    )


def evaluating(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, speeds: Speeds
) -> StageEstimate:
    """Every model on every prompt: token by token, and at each threshold of its decoder."""
    settings, length = config.evaluate, config.rollout.response_length
    one_by_one, multi_block = speeds.ways or (length, length / ASSUMED_TPF)
    table, works = variants(config), []
    for name in settings.models:
        block = table[name].attention_block if name in table else None
        decoder, own = decoder_of(config, name), own_decoder(config, name)
        works.append(evaluation_work(config, shape, counts, one_by_one, block))
        ways = [
            response_forwards(decoder, threshold, length, multi_block) for threshold in decoder.thresholds
        ]
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
    processes, at_once = _processes(config, slices, machine)
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
        stage_gib(config, shape, "evaluate", batch, counts.task),
    )


def response_forwards(decoder: DecoderConfig, threshold: float, length: int, multi_block: float) -> float:
    """Forwards of a response: what the method is told, where that is what it is told."""
    if decoder.method == "fixed_budget":
        return min(threshold, length)
    if decoder.method == "low_confidence":
        return length / decoder.block_length * ceil(decoder.block_length / max(threshold, 1))
    return multi_block


def _processes(config: TADConfig, slices: int, machine: Machine) -> tuple[int, float]:
    """Processes that decode in evaluation, and how many of them are at work on average.

    On GPUs ``s`` slices of all models go to ``n`` processes in ``ceil(s / n)`` rounds, of which the last may leave some
    idle; on a CPU they are many and small.
    """
    settings = config.evaluate
    if not machine.gpu:
        processes = cpu_decoders(config.model, settings.workers)
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

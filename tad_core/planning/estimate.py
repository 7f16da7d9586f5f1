"""The plan itself: its stages, what they need, and whether that is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tad_core.config import TADConfig
from tad_core.planning.choices import time_choices
from tad_core.planning.counts import Counts
from tad_core.planning.machines import GPUS, Machine
from tad_core.planning.memory import passes_of, too_much, training_choices
from tad_core.planning.speeds import Speeds
from tad_core.planning.stages import (
    ASSUMED_TPF,
    StageEstimate,
    calibrating,
    collecting,
    distilling,
    evaluating,
    filtering,
    further_rounds,
)
from tad_core.planning.trial import BUSY
from tad_core.shapes import GIB, Shape
from tad_core.stages.pipeline import trained_models
from tad_core.stages.room import needed_bytes
from tad_core.stages.variants import packings


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
    config = _as_it_runs(config, machine)
    stages = [
        collecting(config, shape, counts, machine, speeds.rollout),
        filtering(counts, speeds),
        calibrating(config, shape, counts, machine, speeds),
        *further_rounds(config, shape, counts, machine, speeds),
        distilling(config, shape, counts, machine, speeds.train),
        evaluating(config, shape, counts, machine, speeds),
    ]
    disk = disk_gib(config, shape, counts)
    notes = [*counts.notes]
    if config.rollout.finish_early:
        notes.append("rollouts are counted with every step; those whose text ends early take less")
    if speeds.ways is None:
        notes.append(
            f"multi-block decoding is counted at {ASSUMED_TPF:g} tokens a forward, which only the run can tell"
        )
    if any(stage.basis.endswith(BUSY) for stage in stages):
        notes.append("this machine is busy with something else; the times are those it takes when it is not")
    notes += _all_warmup(config, counts)
    notes += training_choices(config, shape, counts)
    notes += time_choices(config, shape, counts, machine, stages)
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


def _as_it_runs(config: TADConfig, machine: Machine) -> TADConfig:
    """On a machine without GPUs what is left open is a CPU's: there training keeps and holds more."""
    if machine.gpu is not None:
        return config
    distill = config.distill
    if distill.compile == "auto":
        distill = distill.model_copy(update={"compile": "off"})
    return config.model_copy(
        update={"distill": distill, "model": config.model.model_copy(update={"device": "cpu"})}
    )


def disk_gib(config: TADConfig, shape: Shape, counts: Counts) -> float:
    """What a run asks for where nothing of it is there."""
    return needed_bytes(config, shape, counts.problems, counts.compared) / GIB


def _all_warmup(config: TADConfig, counts: Counts) -> list[str]:
    found = []
    for own, group in passes_of(config):
        warmup, batch = own.distill.warmup_steps, own.distill.global_batch_size
        steps = counts.by_model[group[0]] // batch if group[0] in counts.by_model else counts.steps
        if warmup >= steps:
            found.append(
                f"distill.warmup_steps {warmup} of {', '.join(group)} is no less than its {steps:,} steps: the "
                "learning rate never reaches its peak"
            )
    return found


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
        if not machine.gpu.float8 and counts.models:
            found += _without_float8(config, machine.gpu.title)
    else:
        trained = "distill.processes or " * (config.distill.processes > 1) + "distill.micro_batch_size"
        for stage, field_name in (("collect", "rollout.workers"), ("distill", trained)):
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
    if not counts.room_asked and machine.free_disk_gib is not None and disk > machine.free_disk_gib:
        found.append(
            f"the store takes about {disk:.1f} GiB, with what may be in it already, and {machine.free_disk_gib:.1f} "
            "are free; set store to another disk"
        )
    return found


def _without_float8(config: TADConfig, title: str) -> list[str]:
    """What asks for products that a GPU does not have."""
    asked = {
        field_name for kind, field_name in packings(config, trained_models(config)).values() if kind == "fp8"
    }
    others = ", ".join(name for name, gpu in GPUS.items() if gpu.float8)
    return [
        f"{field_name} fp8: {title} has no products of 8-bit floats; set it to none or nf4, or use another GPU, as "
        f"{others}"
        for field_name in sorted(asked)
    ]

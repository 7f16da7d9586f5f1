"""Settings that would make a run shorter, and by how much: what they cost is measured elsewhere, and named."""

from __future__ import annotations

from collections.abc import Sequence

from tad_core.config import TADConfig
from tad_core.config.objectives import OBJECTIVES
from tad_core.planning.counts import Counts
from tad_core.planning.machines import FLOAT8_TIMES, Machine
from tad_core.planning.memory import passes_of
from tad_core.planning.speeds import Speeds, from_sheet
from tad_core.planning.stages import StageEstimate, collecting, evaluating
from tad_core.shapes import Shape

#: A choice is told where the stage would take less than this share of its time.
_WORTH = 0.9


def time_choices(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, stages: Sequence[StageEstimate]
) -> list[str]:
    """Of a run on a known GPU; nothing elsewhere."""
    return [*_caches(config, shape, counts, machine, stages), *_float8(config, counts, machine)]


def _caches(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, stages: Sequence[StageEstimate]
) -> list[str]:
    """What keeping keys and values would gain in each loop that computes every token."""
    rollout, decode = config.rollout, config.evaluate.decode
    choices = []
    if rollout.cache.mode == "none":
        cached = rollout.model_copy(update={"cache": rollout.cache.model_copy(update={"mode": "dual"})})
        told = (
            "other trajectories, of which the small model learned more: "
            "docs/results/decode.md#a-teacher-with-a-cache"
        )
        choices.append(
            ("collect", "rollout.cache.mode dual", config.model_copy(update={"rollout": cached}), told)
        )
    if decode.cache.mode == "none":
        prefix = decode.cache.model_copy(update={"mode": "prefix"})
        cached_evaluate = config.evaluate.model_copy(
            update={"decode": decode.model_copy(update={"cache": prefix})}
        )
        told = "other answers: docs/results/decode.md#what-a-cache-costs-distilled-models"
        choices.append(
            (
                "evaluate",
                "evaluate.decode.cache.mode prefix",
                config.model_copy(update={"evaluate": cached_evaluate}),
                told,
            )
        )
    found = []
    for stage, setting, other, told in choices:
        planned = sum(each.gpu_hours or 0.0 for each in stages if each.stage == stage)  # of all rounds
        before, after = (_gpu_hours(stage, of, shape, counts, machine) for of in (config, other))
        if planned and before and after and after < _WORTH * before:
            found.append(
                f"{setting} would {stage} in {planned * after / before:.1f} GPU hours instead of {planned:.1f}: {told}"
            )
    return found


def _gpu_hours(stage: str, config: TADConfig, shape: Shape, counts: Counts, machine: Machine) -> float | None:
    """By the data sheet: of two settings that is what compares."""
    rollout, train, decode, _ = from_sheet(config, shape, machine)
    if stage == "collect":
        return collecting(config, shape, counts, machine, rollout).gpu_hours
    speeds = Speeds(rollout, train, decode, text_s=0.0, judged="")
    return evaluating(config, shape, counts, machine, speeds).gpu_hours


def _float8(config: TADConfig, counts: Counts, machine: Machine) -> list[str]:
    """What 8-bit floats would gain, where the GPU has them and layers are as they were measured."""
    if not (counts.models and machine.gpu and machine.gpu.float8 and config.model.dtype == "bfloat16"):
        return []
    for own, _ in passes_of(config):
        distill, kind = own.distill, OBJECTIVES[own.distill.objective]
        recorded = (
            distill.bf16 and distill.compile != "off" and not distill.deepspeed and not kind.block_causal
        )
        if not recorded or distill.quantize != "none":
            return []
    return [
        f"distill.quantize fp8 would train in {1 / FLOAT8_TIMES:.2f} times the time: another adapter, on a base in "
        "8-bit floats"
    ]

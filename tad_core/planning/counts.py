"""How much there is to do: problems, samples, states, steps, prompts, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from tad_core.artifacts import Store
from tad_core.config import DistillConfig, SourceConfig, TADConfig, variants
from tad_core.config.objectives import OBJECTIVES
from tad_core.data.problem import Problem
from tad_core.data.unknown import WORTH_SAYING
from tad_core.planning.survey import Survey
from tad_core.stages import filter as filter_stage
from tad_core.stages.collect import find_collection
from tad_core.stages.pipeline import trained_models

#: Rows of the published data sets, where they are not read.
_PUBLISHED_ROWS = {"gsm8k": 7473, "math": 7500}
_PUBLISHED_TASKS = {"gsm8k": 1319, "minerva_math": 5000, "humaneval": 164, "mbpp_plus": 378, "mbpp": 500}
#: Tokens of a prompt, where none can be made: GSM8K's and MATH's with and without their references.
_STUDENT_TOKENS, _TEACHER_TOKENS, _TASK_TOKENS = 150.0, 300.0, 600.0
_SAMPLED = 200


@dataclass(frozen=True)
class Counts:
    """The work of a run; tokens are means.

    Attributes:
        problems, compared: problems of the collection, and those also rolled out plainly.
        left_out: rows that cannot be used, by source and reason.
        samples, shards: rollouts and the files they go into.
        programs: share of the problems that are judged by running a program.
        kept: trajectories that training will see.
        states, steps: of one training run.
        models: how many are trained.
        by_model: states of those whose settings say another number of them.
        prompts: of one model's evaluation, once.
        student, teacher, task: tokens of a prompt.
        notes: what was assumed rather than counted.
        refused: what ``tad run`` would say instead of beginning.
        exit_code: what it would end with; 0 if it would begin.
        room_asked: whether the disk was asked for room as a run does it; what has too little is among ``refused``.
    """

    problems: int
    compared: int
    left_out: dict[str, dict[str, int]]
    samples: int
    shards: int
    programs: float
    kept: int
    states: int
    steps: int
    models: int
    prompts: int
    student: float
    teacher: float
    task: float
    notes: list[str] = field(default_factory=list)
    by_model: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    exit_code: int = 0
    room_asked: bool = False


def count(config: TADConfig, store: Store, found: Survey | None = None) -> Counts:
    """Count what the configuration asks for; where data or tokenizer are not to be had, say what was assumed.

    Args:
        config: the run.
        store: its artifacts: what is there is counted rather than assumed.
        found: what was seen of data and checkpoint; None assumes their sizes without looking.
    """
    found = found or Survey()
    plan, tasks = found.plan, found.tasks
    notes = [*found.notes, *(entry.told() for entry in found.unknown if entry.share >= WORTH_SAYING)]
    sizes = {source.name: found.sizes.get(source.name) or _assumed(source, notes) for source in config.data}
    problems = len(plan.ordered) if plan else sum(sizes.values())
    compared = min(config.rollout.compare_plain, problems)
    samples = (problems + compared) * config.rollout.samples
    size = config.rollout.shard_size
    shards = len(plan.shards) if plan else -(-problems // size) + -(-compared // size)
    student, teacher, task = _tokens(config, plan.ordered if plan else None, tasks, notes)
    rows = _Rows(config, store, plan, problems, compared, notes)
    kept = rows.right["privileged"]
    if config.distill.filled_states != "all" and config.distill.max_steps is None:
        notes.append(
            "states that were filled in are known after collection alone: distillation is counted with all"
        )
    steps = rows.steps(config.distill)
    states = {
        name: rows.steps(variant.distill) * variant.distill.global_batch_size
        for name, variant in variants(config).items()
        if name in config.evaluate.models
    }
    usual = steps * config.distill.global_batch_size
    return Counts(
        problems=problems,
        compared=compared,
        left_out=plan.left_out if plan else {},
        samples=samples,
        shards=shards,
        programs=_programs(config, plan),
        kept=kept,
        states=usual,
        steps=steps,
        models=len(trained_models(config)),
        prompts=sum(found.task_sizes.get(t.name) or _assumed_task(t, notes) for t in config.evaluate.tasks),
        student=student,
        teacher=teacher,
        task=task,
        notes=notes,
        by_model={name: own for name, own in states.items() if own != usual},
        refused=[str(error) for error in found.refused],
        exit_code=found.exit_code,
        room_asked=found.room_asked,
    )


def _assumed(source: SourceConfig, notes: list[str]) -> int:
    known = source.count or _PUBLISHED_ROWS.get(source.source)
    if known is None:
        notes.append(f"data {source.name}: its size is not known, 10,000 is assumed")
    return known or 10_000


def _assumed_task(task: SourceConfig, notes: list[str]) -> int:
    name = str(task.options.get("task", task.source))
    known = task.count or next((n for key, n in _PUBLISHED_TASKS.items() if name.startswith(key)), None)
    if known is None:
        notes.append(f"evaluate.tasks {task.name}: its size is not known, 1,000 is assumed")
    return known or 1_000


def _programs(config: TADConfig, plan: Any) -> float:
    if plan:
        return fmean(problem.kind == "code" for problem in plan.ordered)
    code = [source.source in ("kodcode", "pyfunc") for source in config.data]
    return fmean(code)


def _tokens(
    config: TADConfig,
    problems: Sequence[Problem] | None,
    tasks: dict[str, list[Problem]] | None,
    notes: list[str],
) -> tuple[float, float, float]:
    """Mean tokens of the student's, the teacher's and the evaluation's prompts, over a sample of the problems."""
    if not problems or tasks is None:
        notes.append(
            f"prompts of {_STUDENT_TOKENS:g} (student), {_TEACHER_TOKENS:g} (teacher) and {_TASK_TOKENS:g} "
            "(evaluation) tokens are assumed"
        )
        return _STUDENT_TOKENS, _TEACHER_TOKENS, _TASK_TOKENS
    from tad_core.checkpoint import load_tokenizer
    from tad_core.data import prompts
    from tad_core.evaluation.prompting import encode

    tokenizer = load_tokenizer(config.model)
    some = [problems[i] for i in range(0, len(problems), max(1, len(problems) // _SAMPLED))]
    asked = [problem for task in tasks.values() for problem in task[:: max(1, len(task) // _SAMPLED)]]
    return (
        fmean(len(prompts.student_prompt(tokenizer, problem)) for problem in some),
        fmean(len(prompts.teacher_prompt(tokenizer, problem, "privileged")) for problem in some),
        fmean(len(encode(tokenizer, problem)) for problem in asked),
    )


class _Rows:
    """What a model may be trained on: kept trajectories by condition, any of them, or references that fit a response.

    Counted where the filter has run; else all pass.
    """

    def __init__(
        self, config: TADConfig, store: Store, plan: Any, problems: int, compared: int, notes: list[str]
    ) -> None:
        self._config, self._problems = config, plan.ordered if plan else None
        self.references = problems
        self.any = {c: n * config.rollout.samples for c, n in (("privileged", problems), ("plain", compared))}
        self.right = dict(self.any)
        collection = find_collection(plan, store) if plan else None
        done = None
        if collection is not None:
            done = store.find(filter_stage.STAGE, filter_stage.key(config, plan), [collection])
        if done is None:
            most = self.any["privileged"]
            notes.append(
                f"how many trajectories pass is not known before they are judged: all {most:,} are assumed"
            )
            return
        self.right = dict.fromkeys(self.right, 0)
        for entry in done.read_json("summary.json")["by_source"]:
            self.right[entry["condition"]] += entry["kept"]

    def steps(self, distill: DistillConfig) -> int:
        """Optimizer steps of a training, as ``training.order.StatePlan`` has them with every state."""
        if distill.max_steps:
            return distill.max_steps
        per_epoch = distill.states_per_trajectory * self._of(distill)
        return max(1, round(per_epoch * distill.epochs / distill.global_batch_size))

    def _of(self, distill: DistillConfig) -> int:
        if OBJECTIVES[distill.objective].trains_on == "references":
            return self._fitting
        found = (self.right if distill.answers == "right" else self.any)[distill.trajectories]
        # Which of the problems were kept is not looked up.
        return round(found * self._fitting / self.references) if distill.on_reference_labels else found

    @cached_property
    def _fitting(self) -> int:
        """Problems whose reference is no longer than a response."""
        if self._problems is None:
            return self.references
        from tad_core.checkpoint import load_tokenizer
        from tad_core.data.responses import closed_response

        tokenizer, length = load_tokenizer(self._config.model), self._config.rollout.response_length
        return sum(closed_response(tokenizer, p.reference, length) is not None for p in self._problems)

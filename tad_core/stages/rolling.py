"""The trajectories of one shard: its problems as prompts, decoded."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from tad_core.config import TADConfig
from tad_core.data import prompts
from tad_core.data.problem import Problem
from tad_core.data.responses import end_ids, response_text
from tad_core.errors import DataError
from tad_core.progress import OnProgress, Progress
from tad_core.stages.collection_plan import STAGE, CollectionPlan, ShardSpec
from tad_core.trajectory.schema import Trajectory

if TYPE_CHECKING:  # they load torch
    from tad_core.fitting import Fitting
    from tad_core.rollout.engine import RolloutRequest, RolloutResult


def roll_out(
    config: TADConfig,
    plan: CollectionPlan,
    shard: ShardSpec,
    model: Any,
    tokenizer: Any,
    on_progress: OnProgress,
    fitting: Fitting | None,
) -> list[Trajectory]:
    """Decode every sample of a shard, in the order of its problems.

    Args:
        config: the run.
        plan: whose problems the shard cuts out.
        shard: which of them, and whether the prompt holds the reference.
        model: the teacher.
        tokenizer: the model's.
        on_progress: told the samples done, from the moment the model decodes.
        fitting: what is known of the model's memory.

    Raises:
        DataError: a prompt and its response are longer than the model reads.
        OutOfMemoryError: not even one sample fits.
    """
    from tad_core.rollout.engine import RolloutSpec, rollout

    settings = config.rollout
    jobs = [(problem, sample) for problem in plan.slice(shard) for sample in range(settings.samples)]
    requests = [_request(config, shard, tokenizer, problem, sample) for problem, sample in jobs]
    _check_lengths(requests, settings.response_length, model.max_positions)
    started = time.monotonic()

    def report(done: int) -> None:
        speed = done / max(1e-9, time.monotonic() - started)
        on_progress(Progress(STAGE, done, len(jobs), figures={"samples/s": round(speed, 2)}))

    spec = RolloutSpec(
        settings.response_length, settings.block_length, settings.seed, settings.finish_early,
        **settings.cache.as_spec(),
    )  # fmt: skip
    on_progress(Progress(STAGE, 0, len(jobs)))  # from here on its speed is that of decoding
    results = rollout(model, requests, spec, settings.batch_size, report, fitting)
    mode, ends = spec.decoding.mode, end_ids(tokenizer)
    return [
        _trajectory(shard, tokenizer, ends, mode, problem, request, result)
        for (problem, _), request, result in zip(jobs, requests, results, strict=True)
    ]


def _request(
    config: TADConfig, shard: ShardSpec, tokenizer: Any, problem: Problem, sample: int
) -> RolloutRequest:
    """What is decoded for one sample."""
    from tad_core.rollout.engine import RolloutRequest

    settings = config.rollout
    return RolloutRequest(
        problem.id,
        sample,
        prompts.teacher_prompt(tokenizer, problem, shard.condition),
        settings.temperature_math if problem.kind == "math" else settings.temperature_code,
    )


def _trajectory(
    shard: ShardSpec,
    tokenizer: Any,
    ends: Collection[int],
    mode: str,
    problem: Problem,
    request: RolloutRequest,
    result: RolloutResult,
) -> Trajectory:
    """The row of one sample."""
    return Trajectory(
        problem_id=problem.id,
        source=problem.source,
        kind=problem.kind,
        sample=request.sample,
        condition=shard.condition,
        student_prompt_ids=prompts.student_prompt(tokenizer, problem),
        teacher_prompt_ids=request.prompt_ids,
        response_ids=result.response_ids,
        revealed_at=result.revealed_at,
        confidence=result.confidence,
        filled_from=result.filled_from,
        mode=mode,
        text=response_text(tokenizer, result.response_ids, ends),
    )


def _check_lengths(requests: list[Any], response_length: int, longest: int | None) -> None:
    if longest is None:
        return
    for request in requests:
        if len(request.prompt_ids) + response_length > longest:
            raise DataError(
                f"problem {request.problem_id}: prompt of {len(request.prompt_ids)} tokens and rollout.response_length "
                f"{response_length} exceed the model's {longest}; shorten the response or drop the problem"
            )

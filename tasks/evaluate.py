"""The task that measures one model on every benchmark at every threshold."""

from __future__ import annotations

from functools import partial

from prefect import task
from prefect.futures import PrefectFuture

from tad_core.artifacts import ArtifactRef
from tad_core.stages import evaluate as stage
from tasks.caching import CACHED, cache_key, key_parameter
from tasks.records import record_markdown
from tasks.retrying import RETRIED
from tasks.work import Work


def submit(work: Work, model: str, adapter: ArtifactRef | None) -> PrefectFuture[ArtifactRef]:
    """Start measuring one model: ``base``, or one of the table; it waits in its thread for processes."""
    inputs = [adapter] if adapter else []
    key = cache_key(work.store, stage.STAGE, stage.key(work.config, model, adapter), inputs, model)
    run = _evaluate.with_options(refresh_cache=work.forced(stage.STAGE))
    return run.submit(work, key, model, adapter)


@task(name="evaluate", task_run_name="evaluate {model}", cache_key_fn=key_parameter, **CACHED, **RETRIED)
def _evaluate(work: Work, key: str, model: str, adapter: ArtifactRef | None) -> ArtifactRef:
    """Decode and judge, or take the points from the store."""
    del key
    what = f"{stage.STAGE} {model}"
    ref = stage.evaluate(
        work.config,
        model,
        adapter,
        work.store,
        on_progress=work.rows[what].listener(),
        force=work.forced(stage.STAGE),
        pool=work.pool,
        go_on=work.has_begun(what),
        on_begun=partial(work.begin, what),
    )
    record_markdown(f"points-{model}", _table(ref), f"Accuracy and tokens per forward of {model}")
    return ref


def _table(ref: ArtifactRef) -> str:
    lines = ["| task | method | threshold | accuracy % | TPF | tokens/s |", "|---|---|---|---|---|---|"]
    for point in ref.read_json("points.json"):
        lines.append(
            f"| {point['task']} | {point['method']} | {point['threshold']:g} | {point['accuracy']:.1f} "
            f"| {point['tpf']:.2f} | {point['tokens_per_s']:.0f} |"
        )
    return "\n".join(lines)

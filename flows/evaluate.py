"""Evaluation of all models side by side, then the report."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from flows.collect import summary
from tad_core.stages.pipeline import Outcome, Stage, wants
from tasks import evaluate as evaluating
from tasks.report import report
from tasks.work import Work


def evaluate_and_report(work: Work, outcome: Outcome, until: Stage = "report") -> Outcome:
    """Wire both stages on top of the distilled models; all of them decode in one pool of processes.

    Raises:
        TADError: once every model has ended, if one failed; what the others decoded and measured is kept.
    """
    models = work.config.evaluate.models
    failed: dict[str, Exception] = {}
    with ExitStack() as shown:
        rows = {name: shown.enter_context(work.row(f"evaluate {name}")) for name in models}
        futures = {name: evaluating.submit(work, name, outcome.distilled.get(name)) for name in models}
        for name, future in futures.items():
            made = future.result(raise_on_failure=False)
            if isinstance(made, Exception):
                failed[f"evaluate {name}"] = made
                continue
            outcome.evaluated[name] = made
            rows[name].ended(1)
            rows[name].finish()
        if len(failed) == 1:
            raise next(iter(failed.values()))
        if failed:
            raise summary(failed, len(models), "models")
    work.pool.rest()
    if not wants(until, "report"):
        return outcome
    with work.row("report") as row:
        finished = replace(outcome, report=report(work, outcome))
        row.ended(1)
    return finished

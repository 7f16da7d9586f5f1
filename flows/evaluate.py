"""Evaluation of every model, then the report."""

from __future__ import annotations

from dataclasses import replace

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.collect import collect_and_filter
from flows.distill import calibrate_and_distill
from tad_core.config import TADConfig
from tad_core.stages.pipeline import Outcome, Stage, wants
from tasks.evaluate import evaluate
from tasks.progress import Board
from tasks.records import PrefectSink
from tasks.report import report
from tasks.work import Work


@flow(name="tad-evaluate", flow_run_name="evaluate {config.name}", task_runner=ThreadPoolTaskRunner())
def evaluate_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Evaluate and report, and first whatever they need."""
    with Work(config, Board([PrefectSink()]), force) as work:
        return evaluate_and_report(work, calibrate_and_distill(work, collect_and_filter(work)))


def evaluate_and_report(work: Work, outcome: Outcome, until: Stage = "report") -> Outcome:
    """Wire both stages on top of the distilled models."""
    for name in work.config.evaluate.models:
        with work.row(f"evaluate {name}") as row:
            outcome.evaluated[name] = evaluate(work, name, outcome.distilled.get(name))
            row.ended(1)
    if not wants(until, "report"):
        return outcome
    with work.row("report") as row:
        finished = replace(outcome, report=report(work, outcome))
        row.ended(1)
    return finished

"""The whole pipeline as one flow: collect, filter, calibrate, distil, evaluate, report."""

from __future__ import annotations

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.collect import collect_and_filter
from flows.distill import calibrate_and_distill
from flows.evaluate import evaluate_and_report
from tad_core.config import TADConfig
from tad_core.stages.pipeline import Outcome, Stage, wants
from tasks.progress import Board
from tasks.records import PrefectSink
from tasks.work import Work


@flow(name="tad", flow_run_name="{config.name} to {until}", task_runner=ThreadPoolTaskRunner())
def pipeline(config: TADConfig, until: Stage = "report", force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Run every stage up to ``until``; what is done already is taken as it is.

    Args:
        config: the whole configuration.
        until: the last stage.
        force: stages to compute again.
    """
    with Work(config, Board([PrefectSink()]), force) as work:
        outcome = collect_and_filter(work, judge=wants(until, "filter"))
        if wants(until, "calibrate"):
            outcome = calibrate_and_distill(work, outcome, until)
        if wants(until, "evaluate"):
            outcome = evaluate_and_report(work, outcome, until)
        return outcome

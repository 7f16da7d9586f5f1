"""The pipeline as flows: the whole of it, and one for each stage, which first runs what that stage needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.collect import collect_and_filter
from flows.distill import calibrate_and_distill
from flows.evaluate import evaluate_and_report
from flows.journal import recorded
from flows.rounds import distilled_rounds
from flows.signals import keep_ignored
from tad_core.config import TADConfig
from tad_core.stages.pipeline import Outcome, Stage, wants
from tad_core.stages.rounds import first
from tasks.progress import Board
from tasks.records import PrefectSink
from tasks.work import Work

OPTIONS: dict[str, Any] = {"task_runner": ThreadPoolTaskRunner()}


@flow(name="tad", flow_run_name="{config.name} to {until}", **OPTIONS)
def pipeline(config: TADConfig, until: Stage = "report", force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Run every stage up to ``until``; what is done already is taken as it is.

    Args:
        config: the whole configuration.
        until: the last stage.
        force: stages to compute again.
    """
    return _run(config, until, force)


@flow(name="tad-collect", flow_run_name="collect {config.name}", **OPTIONS)
def collect_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006 (the UI shows literals)
    """Decode the trajectories of the privileged teacher."""
    return _run(config, "collect", force)


@flow(name="tad-filter", flow_run_name="filter {config.name}", **OPTIONS)
def filter_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Judge the trajectories, and collect them first."""
    return _run(config, "filter", force)


@flow(name="tad-calibrate", flow_run_name="calibrate {config.name}", **OPTIONS)
def calibrate_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Read the windows off the student's confidence, and everything before."""
    return _run(config, "calibrate", force)


@flow(name="tad-distill", flow_run_name="distill {config.name}", **OPTIONS)
def distill_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Train the models, and everything before."""
    return _run(config, "distill", force)


@flow(name="tad-evaluate", flow_run_name="evaluate {config.name}", **OPTIONS)
def evaluate_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Measure every model, and everything before."""
    return _run(config, "evaluate", force)


@flow(name="tad-report", flow_run_name="report {config.name}", **OPTIONS)
def report_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006
    """Write tables and pictures, and everything before."""
    return _run(config, "report", force)


def _run(config: TADConfig, until: Stage, force: Collection[Stage]) -> Outcome:
    keep_ignored()
    decodes = config.rollout.decode_here
    with (
        Work(first(config), Board([PrefectSink()]), force, decode=decodes) as work,
        recorded(config, work.store, until, force),
    ):
        outcome = collect_and_filter(work, judge=wants(until, "filter"))
        work.pool.rest()  # the models of its workers would be in the way of calibration and training
        if wants(until, "calibrate"):
            outcome = calibrate_and_distill(work, outcome, until)
        if not wants(until, "distill"):
            return outcome
        with distilled_rounds(work, config, outcome) as rounds:
            if wants(until, "evaluate"):
                outcome = evaluate_and_report(work, rounds, config, outcome, until)
        return outcome

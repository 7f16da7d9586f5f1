"""Evaluation of every model, then the report."""

from __future__ import annotations

from dataclasses import replace

from tad_core.stages.pipeline import Outcome, Stage, wants
from tasks.evaluate import evaluate
from tasks.report import report
from tasks.work import Work


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

"""Calibration and the distillations, one after the other on one machine."""

from __future__ import annotations

from tad_core.stages.pipeline import Outcome, Stage, trained_models, wants
from tasks.calibrate import calibrate
from tasks.distill import distill
from tasks.work import Work


def calibrate_and_distill(work: Work, outcome: Outcome, until: Stage = "distill") -> Outcome:
    """Wire both stages on top of a filtered collection."""
    assert outcome.filtered is not None, "filtering comes before calibration"
    with work.row("calibrate") as row:
        windows = calibrate(work, outcome.collection, outcome.filtered)
        row.ended(1)
    outcome = Outcome(outcome.collection, outcome.filtered, windows)
    if not wants(until, "distill"):
        return outcome
    for mode in trained_models(work.config):
        with work.row(f"distill {mode}") as row:
            outcome.distilled[mode] = distill(work, mode, outcome.collection, outcome.filtered, windows)
            row.ended(1)
    return outcome

"""Calibration and the distillations on one machine, models in one pass where they see the same states."""

from __future__ import annotations

from contextlib import ExitStack

from tad_core.stages.pipeline import Outcome, Stage, trained_models, wants
from tad_core.stages.variants import check_windows, passes
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
    check_windows(work.config, trained_models(work.config), windows)
    for modes in passes(work.config, trained_models(work.config)):
        with ExitStack() as stack:
            rows = [stack.enter_context(work.row(f"distill {mode}")) for mode in modes]
            outcome.distilled.update(distill(work, modes, outcome.collection, outcome.filtered, windows))
            for row in rows:
                row.ended(1)
    return outcome

"""A study as a flow: the shared stages as in any run, then a task for each training and each model that is measured."""

from __future__ import annotations

from prefect import flow

from flows.collect import collect_and_filter
from flows.distill import calibrate_and_distill
from flows.pipeline import OPTIONS
from flows.signals import keep_ignored
from tad_core.artifacts import ArtifactRef
from tad_core.stages.rounds import first
from tad_core.study.config import Study
from tad_core.study.parts import Trajectories
from tasks.progress import Board
from tasks.records import PrefectSink
from tasks.study import report, train_and_measure
from tasks.work import Work


@flow(name="tad-study", flow_run_name="study {name}", **OPTIONS)
def study_flow(name: str, study: Study) -> ArtifactRef:
    """Make every cell of a study that is not there, and its report.

    Args:
        name: of the study, for people.
        study: read and checked.
    """
    del name
    keep_ignored()
    with Work(first(study.run), Board([PrefectSink()])) as work:
        outcome = collect_and_filter(work, judge=True)
        work.pool.rest()  # the models of its workers would be in the way of calibration and training
        outcome = calibrate_and_distill(work, outcome, "calibrate")
        assert outcome.filtered is not None and outcome.windows is not None, "both stages have run"
        trajectories = Trajectories(outcome.collection, outcome.filtered, outcome.windows)
        with work.row("study", unit="tasks") as row:
            made = train_and_measure(study, work, trajectories, row.listener())
        with work.row("report") as row:
            page = report(study, made, work)
            row.ended(1)
        return page

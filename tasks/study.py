"""The tasks of a study: one for each training and each model that is measured, and one that puts them together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import copy_context

from prefect import task
from prefect.cache_policies import NO_CACHE

from tad_core.artifacts import ArtifactRef
from tad_core.progress import OnProgress, Progress
from tad_core.report.markdown import REPORT_NAME
from tad_core.study import report as page
from tad_core.study import run as running
from tad_core.study import stage
from tad_core.study.config import Study
from tad_core.study.parts import Trajectories
from tad_core.study.run import Made
from tad_core.study.schedule import Task
from tasks.records import record_markdown, with_pictures
from tasks.work import Work

_log = logging.getLogger(__name__)


def train_and_measure(study: Study, work: Work, trajectories: Trajectories, on_progress: OnProgress) -> Made:
    """Every cell that is missing, side by side; see ``tad_core.study.run``."""
    flow = copy_context()

    def around(cell: Task, do: Callable[[], None]) -> None:
        # In a thread that knows nothing of the flow; the store says what is done, so that nothing is cached here.
        flow.copy().run(_cell, cell.told, do)

    return running.train_and_measure(study, work.store, trajectories, on_progress, _log.info, around)


@task(name="study-cell", task_run_name="{told}", cache_policy=NO_CACHE, persist_result=False)
def _cell(told: str, do: Callable[[], None]) -> None:
    """Train, or measure."""
    del told
    do()


def report(study: Study, made: Made, work: Work) -> ArtifactRef:
    """The results and their page, which is shown as an artifact of the run."""
    ref = _report(study, made, work)
    text = ref.local(REPORT_NAME).read_text(encoding="utf-8")
    record_markdown("study", with_pictures(text, ref.local_folder()), f"Study {study.config.name}")
    return ref


@task(name="study-report", task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def _report(study: Study, made: Made, work: Work) -> ArtifactRef:
    """The tables of all cells."""
    results = stage.conclude(study, made, work.store)

    def tell(progress: Progress) -> None:  # to ask for a listener says that it is made anew
        work.rows["report"].listener()(progress)

    return page.report(study, results, made.trajectories.filtered, work.store, on_progress=tell)

"""Evaluation of all models side by side, then the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from queue import SimpleQueue

from prefect.futures import PrefectFuture

from flows.collect import summary
from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.errors import in_a_line
from tad_core.signals import asked_to_stop
from tad_core.stages.pipeline import Outcome, Stage, wants
from tasks import evaluate as evaluating
from tasks.progress import say
from tasks.report import report
from tasks.work import Work


def evaluate_and_report(
    work: Work, rounds: Sequence[Work], config: TADConfig, outcome: Outcome, until: Stage = "report"
) -> Outcome:
    """Wire both stages on top of the distilled models; all of a round decode in one pool of processes.

    Args:
        work: the run without rounds.
        rounds: the others, whose models are on other weights: they come after it.
        config: the whole run.
        outcome: what it has made.
        until: the last stage.

    Raises:
        TADError: once every model of a part has ended, if one failed; what the others decoded and measured is kept.
    """
    for part in (work, *rounds):
        _evaluate(part, outcome)
        part.pool.rest()
    if not wants(until, "report"):
        return outcome
    with work.row("report") as row:
        finished = replace(outcome, report=report(work, config, outcome))
        row.ended(1)
    return finished


def _evaluate(work: Work, outcome: Outcome) -> None:
    """Measure the models of a part."""
    models = work.config.evaluate.models
    made: dict[str, ArtifactRef | Exception] = {}
    ended: SimpleQueue[tuple[str, PrefectFuture[ArtifactRef]]] = SimpleQueue()
    with ExitStack() as shown:
        rows = {name: shown.enter_context(work.row(f"evaluate {name}")) for name in models}
        for name in models:
            future = evaluating.submit(work, name, outcome.distilled.get(name))
            future.add_done_callback(partial(_note, ended, name))
        while len(made) < len(models):
            name, future = ended.get()
            made[name] = found = future.result(raise_on_failure=False)
            if not isinstance(found, Exception):
                rows[name].ended(1)
                rows[name].finish()
            elif len(made) < len(models) and not asked_to_stop():
                say(f"evaluate {name} failed, the others go on: {in_a_line(found)}")
        failed: dict[str, Exception] = {}
        for name in models:
            if isinstance(found := made[name], Exception):
                failed[f"evaluate {name}"] = found
            else:
                outcome.evaluated[name] = found
        if len(failed) == 1:
            raise next(iter(failed.values()))
        if failed:
            raise summary(failed, len(models), "models")


def _note(
    ended: SimpleQueue[tuple[str, PrefectFuture[ArtifactRef]]], name: str, future: PrefectFuture[ArtifactRef]
) -> None:
    ended.put((name, future))

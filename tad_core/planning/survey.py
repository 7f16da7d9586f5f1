"""All that a run would refuse, and the sizes of what it would not: each check by itself, so that none hides another.

A run ends with the first thing that is wrong; a plan and a check of a configuration tell everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tad_core.artifacts import Store
from tad_core.config import SourceConfig, TADConfig
from tad_core.data.apart import also_trained_on, on_rows_for_training
from tad_core.data.problem import Problem
from tad_core.data.selection import ENOUGH, Check, Selection
from tad_core.data.unknown import Unknown, check_unknown
from tad_core.errors import NotFetchedError, TADError
from tad_core.shapes import PUBLISHED, is_here
from tad_core.stages import evaluate as evaluate_stage
from tad_core.stages import pipeline
from tad_core.stages.collect import CollectionPlan, unknown_of

#: Sources that are data sets of the hub where no file is named.
_ON_THE_HUB = ("gsm8k", "math", "kodcode")


@dataclass
class Survey:
    """What was found.

    Attributes:
        plan: of the collection; None if it would be refused, or the model is not here yet.
        tasks: problems of evaluation by task; None likewise.
        sizes: usable problems of each source of data that can be read.
        task_sizes: likewise for the tasks of evaluation.
        unknown: tokens unknown to the model, by source, where there are any.
        refused: what a run would end with; empty if it would begin.
        notes: what could not be looked at, and what is no fault and should be known.
        room_asked: whether store, sandbox and model were looked at as a run does it, the room on the disk with them.
        to_fetch: what a run would fetch first, by its name, and could not be looked at.
    """

    plan: CollectionPlan | None = None
    tasks: dict[str, list[Problem]] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    task_sizes: dict[str, int] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)
    refused: list[TADError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    room_asked: bool = False
    to_fetch: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """What ``tad run`` would end with before any work; 0 if it would begin."""
        return self.refused[0].exit_code if self.refused else 0

    def error(self) -> TADError | None:
        """All that is refused as one error, with the exit code of the first; None if nothing is."""
        if not self.refused:
            return None
        return type(self.refused[0])("\n".join(map(str, self.refused)))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what the block raises, once."""
        try:
            yield
        except NotFetchedError as error:
            self.notes.append(str(error))
        except TADError as error:
            if str(error) not in map(str, self.refused):
                self.refused.append(error)


def survey(config: TADConfig, store: Store, this_machine: bool = True) -> Survey:
    """Look at everything that a run looks at before it works, and write nothing that stays.

    Args:
        config: the run.
        store: where its artifacts would go.
        this_machine: whether it would run here; else devices, packages, sandbox and disk are another's.
    """
    found = Survey()
    if this_machine:
        for check in pipeline.device_checks(config, store):
            with found.watching():
                check()
        with found.watching():
            pipeline.check_training(config)
    with found.watching():
        evaluate_stage.check_decoders(config)
    if config.model.path in PUBLISHED and not is_here(config.model):
        _without_the_checkpoint(config, found)
        return found
    with found.watching():
        found.plan = pipeline.plan_of(config, store)
        found.unknown += unknown_of(config, found.plan)
        with found.watching():
            check_unknown(config.data, found.unknown)
        with found.watching():
            pipeline.check_enough(config, found.plan)
        found.sizes = {name: len(problems) for name, problems in _by_source(found.plan.ordered).items()}
    if found.plan is None:
        _sources(config.data, _length_check(config, found), found)
    found.notes += on_rows_for_training(config.evaluate.tasks)
    with found.watching():
        found.tasks = evaluate_stage.load_tasks(config)
        found.task_sizes = {name: len(problems) for name, problems in found.tasks.items()}
        with found.watching():
            found.unknown += pipeline.check_tasks(config, found.tasks)
    if found.tasks is None:
        _tasks(config.evaluate.tasks, found)
    elif found.plan is not None:
        found.notes += also_trained_on(found.plan.ordered, found.tasks)
    if this_machine and found.plan is not None:
        found.room_asked = True
        for check in pipeline.place_checks(config, store, found.plan, found.tasks or {}):
            with found.watching():
                check()
    return found


def _without_the_checkpoint(config: TADConfig, found: Survey) -> None:
    """Read the data that are on this machine all the same: a wrong path is wrong whatever the model."""
    found.notes.append(
        "the checkpoint is not on this machine: how many problems it has room for is not known"
    )
    here = [source for source in config.data if not _is_fetched(source)]
    tasks = [task for task in config.evaluate.tasks if not _is_fetched(task)]
    _sources(here, None, found)
    _tasks(tasks, found)
    found.to_fetch = [
        config.model.path,
        *(f"data {source.name}" for source in config.data if source not in here),
        *(f"task {task.name}" for task in config.evaluate.tasks if task not in tasks),
    ]


def _is_fetched(source: SourceConfig) -> bool:
    """Whether its rows come from the hub."""
    from tad_core.evaluation.benchmarks.load import SOURCE

    if source.options.get("path") or (source.split == "heldout" and source.options.get("heldout_path")):
        return False
    return bool(source.options.get("hub")) or source.source in (*_ON_THE_HUB, SOURCE)


def _length_check(config: TADConfig, found: Survey) -> Check | None:
    from tad_core.data.lengths import LengthCheck

    with found.watching():
        return LengthCheck(config)
    return None


def _sources(sources: Sequence[SourceConfig], check: Check | None, found: Survey) -> None:
    """Read each source of data by itself."""
    from tad_core.data.sources import select_from

    seen: dict[bytes, str] = {}
    _each(sources, lambda source: select_from(source, check, ENOUGH, seen), found, found.sizes)


def _tasks(tasks: Sequence[SourceConfig], found: Survey) -> None:
    """Read each task by itself."""
    _each(tasks, evaluate_stage.load_task, found, found.task_sizes)


def _each(
    sources: Sequence[SourceConfig],
    read: Callable[[SourceConfig], Selection],
    found: Survey,
    sizes: dict[str, int],
) -> None:
    for source in sources:
        with found.watching():
            sizes[source.name] = len(read(source).problems)


def _by_source(problems: list[Problem]) -> dict[str, list[Problem]]:
    out: dict[str, list[Problem]] = {}
    for problem in problems:
        out.setdefault(problem.source, []).append(problem)
    return out

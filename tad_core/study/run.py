"""A study from its file to its cells: collect, filter and calibrate once, then train, measure and begin further rounds
side by side.

Everything that ends is an artifact of the store, adapters under the key they have in a run of their own: a study that
was killed and is started again finds it there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import BASE
from tad_core.errors import ConfigError, TADError
from tad_core.progress import OnProgress, Progress, silent
from tad_core.stages import distill as distill_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages.collect import CollectionPlan
from tad_core.stages.pipeline import prepare as prepare_run
from tad_core.stages.pipeline import trained_models
from tad_core.stages.rounds import RoundMade
from tad_core.stages.variants import check_windows
from tad_core.study.config import Study
from tad_core.study.hands import Hands, hands_of
from tad_core.study.measure import Bench
from tad_core.study.parts import Maker, Part, Trajectories, collect_once, find_round, processes_of
from tad_core.study.patience import patiently
from tad_core.study.schedule import (
    Measuring,
    Merging,
    NextRound,
    Rolling,
    Schedule,
    Task,
    Training,
    shared_passes,
)
from tad_core.verify import Verifier
from tad_core.workers.fanning import fan_out

Tell = Callable[[str], None]
#: model, seed (None for the base) and decoder
Cell = tuple[str, int | None, str]


#: does the work of a task
Around = Callable[[Task, Callable[[], None]], None]


def directly(task: Task, work: Callable[[], None]) -> None:
    """A task without anything around it."""
    del task
    work()


@dataclass(frozen=True)
class Made:
    """All that a study made.

    Attributes:
        adapters: by variant and seed.
        cells: one artifact a model, seed and decoder.
        rounds: by the model that a further round begins from, and seed.
    """

    trajectories: Trajectories
    adapters: dict[tuple[str, int], ArtifactRef] = field(default_factory=dict)
    cells: dict[Cell, ArtifactRef] = field(default_factory=dict)
    rounds: dict[tuple[str, int], RoundMade] = field(default_factory=dict)


def prepare(study: Study, store: Store) -> CollectionPlan:
    """Find everything that can be found wrong before any work.

    Raises:
        TADError: one clear message; nothing was written but probe files in store and cache, removed again.
    """
    distill = study.run.distill
    if distill.launcher != "python" or distill.processes * distill.nodes > 1:
        raise ConfigError(
            f"distill.launcher: {distill.launcher} with {distill.processes} processes on {distill.nodes} hosts; a "
            "study trains many small models side by side, one process each: use python, 1 and 1"
        )
    return prepare_run(study.run, store, "evaluate")


def run_study(
    study: Study, store: Store, on_progress: OnProgress = silent, tell: Tell = lambda _: None
) -> Made:
    """Make every cell of a study that is not there.

    Args:
        study: what to do.
        store: where all of it lives.
        on_progress: told of the shared stages' progress, then of tasks that have ended; never by two threads at once.
        tell: told a line of each task that ends.

    Raises:
        TADError: the first that a task raises, once what was in hand has ended; what else could be done is done.
    """
    plan = prepare(study, store)
    collected = partial(collect_once, study, plan, store, on_progress)
    trajectories = patiently(collected, "collect, filter and calibrate", tell)
    return train_and_measure(study, store, trajectories, on_progress, tell)


def train_and_measure(
    study: Study,
    store: Store,
    trajectories: Trajectories,
    on_progress: OnProgress = silent,
    tell: Tell = lambda _: None,
    around: Around = directly,
) -> Made:
    """Every cell that is not there, of trajectories that are; see ``run_study``.

    Args:
        study: what to do.
        store: where all of it lives.
        trajectories: what is trained on, but in further rounds.
        on_progress: told the tasks that have ended.
        tell: told a line of each.
        around: does a task in a thread of its own, so that others can keep the books.
    """
    first = rounds_stage.first(study.run)
    check_windows(first, trained_models(first), trajectories.windows)
    matrix = Matrix(study, store, trajectories, Bench(study, store), on_progress, tell, around)
    with Hands(study, hands_of(study)) as hands:
        return matrix.do(hands)


class Matrix:
    """The trainings and measurements of one study."""

    def __init__(
        self,
        study: Study,
        store: Store,
        trajectories: Trajectories,
        bench: Bench,
        on_progress: OnProgress = silent,
        tell: Tell = lambda _: None,
        around: Around = directly,
    ) -> None:
        self._study, self._store, self._bench = study, store, bench
        self._on_progress, self._tell, self._around = on_progress, tell, around
        self.made = Made(trajectories)
        self._rounds = {own.of: own for own in rounds_stage.rounds(study.run)}
        self._parts: dict[tuple[str | None, int], Part] = {}
        self._after: dict[Task, list[Task]] = {}
        self._verifier = Verifier(study.run.filter)
        self._lock = threading.Lock()

    def do(self, hands: Hands) -> Made:
        """All that is missing; see ``run_study``."""
        self._hands, self._schedule = hands, self.look()
        self._maker = Maker(self._store, hands, self._verifier)
        self._told()
        with self._verifier:
            for _ in fan_out(self._schedule.todo(), self._make, hands.count, hands.close):
                pass
        return self.made

    def look(self) -> Schedule:
        """What is there is taken; what is left is ordered by seed, what rounds begin from and large passes first."""
        ready: list[Task] = [*self._measurings(BASE, None, None)]
        for seed in self._study.config.seeds:
            config = rounds_stage.first(self._study.seeded(seed))
            self._parts[None, seed] = Part(config, self.made.trajectories)
            ready += self._look_at(None, seed)
        return Schedule(ready, self._after)

    def _look_at(self, of: str | None, seed: int) -> list[Task]:
        """What can be begun of the first run of a seed, or of a round that has its trajectories."""
        part, ready, missing = self._parts[of, seed], list[Task](), list[str]()
        for name in trained_models(part.config):
            try:
                adapter = part.find_adapter(name, self._store)
            except ConfigError:
                # It has no window in this round's curve, which is for the round's task to say.
                if of is None:
                    raise
                adapter = None
            if adapter is None:
                missing.append(name)
                continue
            self.made.adapters[name, seed] = adapter
            ready += self._measurings(name, seed, adapter)
            ready += self._look_at_round(name, seed, adapter) if name in self._rounds else []
        if not missing:
            return ready
        # A round that has more to train goes through its stages again, as a run does, which check what they find.
        return ready + (
            self._trainings(None, seed, missing) if of is None else [self._last_of_round(of, seed, missing)]
        )

    def _look_at_round(self, of: str, seed: int, adapter: ArtifactRef) -> list[Task]:
        before = self._part_of(of, seed)
        found = find_round(self._study.seeded(seed), self._rounds[of], before, adapter, self._store)
        if found is None:
            return [self._round(of, seed, self._rounds[of].models)]
        self._parts[of, seed], self.made.rounds[of, seed] = found
        return self._look_at(of, seed)

    def _round(self, of: str, seed: int, models: Sequence[str]) -> Task:
        """The first task of a round, with everything behind it."""
        last, count = self._last_of_round(of, seed, models), processes_of(self._study, self._rounds[of])
        if count == 1:
            return last
        merging, beside = Merging(seed, of), [Rolling(seed, of, place, count) for place in range(count)]
        self._after[merging] = [*beside]
        self._after.update({rolling: [last] for rolling in beside})
        return merging

    def _last_of_round(self, of: str, seed: int, models: Sequence[str]) -> NextRound:
        task = NextRound(seed, of)
        self._after[task] = self._trainings(of, seed, models)
        return task

    def _trainings(self, of: str | None, seed: int, models: Sequence[str]) -> list[Task]:
        found: list[Task] = []
        for names in shared_passes(self._study, models):
            training = Training(seed, names, of)
            later = [self._round(n, seed, self._rounds[n].models) for n in names if n in self._rounds]
            self._after[training] = [*(Measuring(name, seed) for name in names), *later]
            found.append(training)
        return found

    def _measurings(self, model: str, seed: int | None, adapter: ArtifactRef | None) -> list[Measuring]:
        done = self._bench_of(model, seed).finished(model, adapter)
        self.made.cells.update({(model, seed, decoder): ref for decoder, ref in done.items()})
        return [] if len(done) == len(self._study.specs) else [Measuring(model, seed)]

    def _part_of(self, model: str, seed: int) -> Part:
        """The part in which a model is trained."""
        given = self._study.config.variants[model].round
        return self._parts[None if given is None else given.of, seed]

    def _bench_of(self, model: str, seed: int | None) -> Bench:
        """Measures on the weights that a model was trained on."""
        return self._bench if seed is None else self._bench.on(self._part_of(model, seed).config)

    def _make(self, task: Task) -> None:
        hand, well = self._hands.take(), False
        try:
            done = partial(self._around, task, partial(self._do, task, hand))
            patiently(done, task.told, self._say, lambda: self._hands.closed)
            well = True
        except TADError as error:
            raise type(error)(f"{task.told}: {error}") from error
        finally:
            self._hands.give_back(hand)
            self._schedule.end(task, well=well)
            failed = "stopped: " if self._hands.closed else "FAILED: "
            self._told(f"{'' if well else failed}{task.told}")

    def _do(self, task: Task, hand: int) -> None:
        if isinstance(task, Training):
            self._train(task, hand)
        elif isinstance(task, Measuring):
            self._measure(task, hand)
        else:
            assert isinstance(task, (Merging, Rolling, NextRound)), task
            self._begin_round(task, hand)

    def _train(self, task: Training, hand: int) -> None:
        part = self._parts[task.of, task.seed]
        model = part.config.model.model_copy(update={"threads": self._hands.threads})
        made = distill_stage.distill_together(
            part.config.model_copy(update={"model": model}),
            task.models,
            *part.trajectories.refs,
            self._store,
            start=self._hands.trainings(hand),
        )
        with self._lock:
            self.made.adapters.update({(name, task.seed): ref for name, ref in made.items()})

    def _measure(self, task: Measuring, hand: int) -> None:
        adapter = None if task.seed is None else self.made.adapters[task.model, task.seed]
        bench = self._bench_of(task.model, task.seed)
        with self._hands.pool(bench.base, hand) as pool:
            done = bench.measure(task.model, adapter, pool, self._verifier, self._hands.threads)
        with self._lock:
            self.made.cells.update({(task.model, task.seed, decoder): ref for decoder, ref in done.items()})

    def _begin_round(self, task: Merging | Rolling | NextRound, hand: int) -> None:
        own, run = self._rounds[task.of], self._study.seeded(task.seed)
        before, adapter = self._part_of(task.of, task.seed), self.made.adapters[task.of, task.seed]
        if not isinstance(task, NextRound):
            merged = self._maker.merged(own, before, adapter, hand)
            if isinstance(task, Rolling):
                self._maker.roll_out(run, own, merged, hand, task.place / task.count)
            return
        part, made = self._maker.make(run, own, before, adapter, hand)
        with self._lock:
            self._parts[task.of, task.seed], self.made.rounds[task.of, task.seed] = part, made

    def _say(self, line: str) -> None:
        with self._lock:
            self._tell(line)

    def _told(self, line: str = "") -> None:
        with self._lock:
            done, total = self._schedule.ended, self._schedule.total
            if line:
                self._tell(f"{done} of {total}: {line}")
            self._on_progress(Progress("study", done, total, "tasks"))

"""A study from its file to its cells: collect, filter and calibrate once, then train and measure side by side.

Everything that ends is an artifact of the store, adapters under the key they have in a run of their own: a study that
was killed and is started again finds it there.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import BASE
from tad_core.errors import PERMANENT_ERRORS, ConfigError, SubprocessError, TADError, in_a_line
from tad_core.progress import OnProgress, Progress, silent
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages.collect import CollectionPlan
from tad_core.stages.pipeline import prepare as prepare_run
from tad_core.stages.variants import check_windows, inputs_of, passes
from tad_core.study.config import Study
from tad_core.study.measure import Bench
from tad_core.study.schedule import Measuring, Schedule, Task, Training
from tad_core.verify import Verifier
from tad_core.workers.devices import environment, visible_gpus
from tad_core.workers.fanning import fan_out
from tad_core.workers.nursery import Nursery
from tad_core.workers.pool import MODULE, Pool
from tad_core.workers.trainings import IMPORTS, TrainingForks

#: processes on one GPU: small models leave it idle between their kernels
A_GPU = 12
_TRIES = 2

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
class Trajectories:
    """What every variant is trained on."""

    collection: ArtifactRef
    filtered: ArtifactRef
    windows: ArtifactRef


@dataclass(frozen=True)
class Made:
    """All that a study made.

    Attributes:
        adapters: by variant and seed.
        cells: one artifact a model, seed and decoder.
    """

    trajectories: Trajectories
    adapters: dict[tuple[str, int], ArtifactRef] = field(default_factory=dict)
    cells: dict[Cell, ArtifactRef] = field(default_factory=dict)


def prepare(study: Study, store: Store) -> CollectionPlan:
    """Find everything that can be found wrong before any work.

    Raises:
        TADError: one clear message; nothing was written but a probe file in the store, removed again.
    """
    distill = study.run.distill
    if distill.launcher != "python" or distill.processes * distill.nodes > 1:
        raise ConfigError(
            f"distill.launcher: {distill.launcher} with {distill.processes} processes on {distill.nodes} hosts; a "
            "study trains many small models side by side, one process each: use python, 1 and 1"
        )
    return prepare_run(study.run, store, "evaluate")


def hands_of(study: Study) -> int:
    """Processes at once: ``side_by_side``, or twelve for each GPU, or one for each core."""
    if study.config.side_by_side:
        return study.config.side_by_side
    return A_GPU * len(visible_gpus()) if on_gpus(study) else len(os.sched_getaffinity(0))


def on_gpus(study: Study) -> bool:
    """Whether this machine's GPUs are used."""
    return study.run.model.device in ("auto", "cuda") and bool(visible_gpus())


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
    trajectories = collect_once(study, plan, store, on_progress)
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
        trajectories: what is trained on.
        on_progress: told the tasks that have ended.
        tell: told a line of each.
        around: does a task in a thread of its own, so that others can keep the books.
    """
    check_windows(study.run, list(study.config.variants), trajectories.windows)
    matrix = Matrix(study, store, trajectories, Bench(study, store), on_progress, tell, around)
    with Hands(study, hands_of(study)) as hands:
        return matrix.do(hands)


def collect_once(study: Study, plan: CollectionPlan, store: Store, on_progress: OnProgress) -> Trajectories:
    """Collection, verdicts and windows, which all variants and seeds share."""
    config = study.run
    collection = collect_stage.collect(config, store, on_progress)
    filtered = filter_stage.filter_all(config, plan, collection, store, on_progress)
    windows = calibrate_stage.calibrate(config, collection, filtered, store, on_progress=on_progress)
    return Trajectories(collection, filtered, windows)


class Hands:
    """Processes side by side, over all GPUs in turn; forks of one that has loaded what they need. A context manager."""

    def __init__(self, study: Study, count: int) -> None:
        self.count, self._device = count, study.run.model.device
        self.threads = max(1, len(os.sched_getaffinity(0)) // count)
        self._gpus = len(visible_gpus()) if on_gpus(study) else 0
        self._free: SimpleQueue[int] = SimpleQueue()
        for hand in range(count):
            self._free.put(hand)
        self._lock = threading.Lock()
        self._nursery: Nursery | None = None
        self.closed = False

    def take(self) -> int:
        """A free hand; there are as many as threads that ask."""
        return self._free.get()

    def give_back(self, hand: int) -> None:
        """It is free again."""
        self._free.put(hand)

    def gpu(self, hand: int) -> int:
        """Which of the visible GPUs it works on."""
        return hand % max(1, self._gpus)

    def nursery(self) -> Nursery:
        """The process that forks, started anew if it has died.

        Raises:
            SubprocessError: the study is being stopped.
        """
        with self._lock:
            if self.closed:
                raise SubprocessError("study: it is being stopped")
            if self._nursery is not None and not self._nursery.alive:
                self._nursery.close()
                self._nursery = None
            if self._nursery is None:
                # With all GPUs visible: each fork chooses its own before it wakes the driver.
                # Every process that compiles would start as many helpers as there are cores.
                helpers = {"TORCHINDUCTOR_COMPILE_THREADS": str(self.threads)}
                env = {"OMP_WAIT_POLICY": "PASSIVE", **helpers, **os.environ}
                self._nursery = Nursery(MODULE, env, IMPORTS)
            return self._nursery

    def trainings(self, hand: int) -> TrainingForks:
        """Starts a training on a hand's GPU."""
        env = environment(self._device, self.gpu(hand)) if self._gpus else {}
        name = "CUDA_VISIBLE_DEVICES"
        return TrainingForks(self.nursery(), {name: env[name]} if name in env else {})

    def close(self) -> None:
        """End all processes: a training saves a checkpoint first."""
        with self._lock:
            self.closed = True
            if self._nursery is not None:
                self._nursery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


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
        self._verifier = Verifier(study.run.filter)
        self._lock = threading.Lock()

    def do(self, hands: Hands) -> Made:
        """All that is missing; see ``run_study``."""
        self._hands, self._schedule = hands, self.look()
        self._told()
        with self._verifier:
            for _ in fan_out(self._schedule.todo(), self._make, hands.count, hands.close):
                pass
        return self.made

    def look(self) -> Schedule:
        """What is there is taken; what is left is ordered: seed by seed, the largest passes first."""
        names = list(self._study.config.variants)
        measurings, trainings = self._measurings(BASE, None, None), list[Training]()
        for seed in self._study.config.seeds:
            found = {name: self._find_adapter(name, seed) for name in names}
            for name, ref in found.items():
                if ref is not None:
                    self.made.adapters[name, seed] = ref
                    measurings += self._measurings(name, seed, ref)
            missing = [name for name in names if found[name] is None]
            trainings += [Training(seed, models) for models in shared_passes(self._study, missing)]
        return Schedule(measurings, trainings)

    def _measurings(self, model: str, seed: int | None, adapter: ArtifactRef | None) -> list[Measuring]:
        done = self._bench.finished(model, adapter)
        self.made.cells.update({(model, seed, decoder): ref for decoder, ref in done.items()})
        return [] if len(done) == len(self._study.specs) else [Measuring(model, seed)]

    def _find_adapter(self, name: str, seed: int) -> ArtifactRef | None:
        config, (c, f, w) = self._study.seeded(seed), self._inputs()
        mark = distill_stage.key_in(self._store, config, name, c, f, w)
        return self._store.find(distill_stage.STAGE, mark, inputs_of(config, name, c, f))

    def _inputs(self) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
        found = self.made.trajectories
        return found.collection, found.filtered, found.windows

    def _make(self, task: Task) -> None:
        hand, well = self._hands.take(), False
        try:
            for left in reversed(range(_TRIES)):
                try:
                    self._around(task, partial(self._do, task, hand))
                    break
                except PERMANENT_ERRORS:
                    raise
                except SubprocessError as error:
                    if not left or self._hands.closed:
                        raise
                    self._say(f"once more: {task.told}: {in_a_line(error)}")
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

    def _train(self, task: Training, hand: int) -> None:
        config = self._study.seeded(task.seed)
        model = config.model.model_copy(update={"threads": self._hands.threads})
        made = distill_stage.distill_together(
            config.model_copy(update={"model": model}),
            task.models,
            *self._inputs(),
            self._store,
            start=self._hands.trainings(hand),
        )
        with self._lock:
            self.made.adapters.update({(name, task.seed): ref for name, ref in made.items()})

    def _measure(self, task: Measuring, hand: int) -> None:
        adapter = None if task.seed is None else self.made.adapters[task.model, task.seed]
        with Pool(self._study.run.model, nursery=self._hands.nursery(), gpu=self._hands.gpu(hand)) as pool:
            done = self._bench.measure(task.model, adapter, pool, self._verifier, self._hands.threads)
        with self._lock:
            self.made.cells.update({(task.model, task.seed, decoder): ref for decoder, ref in done.items()})

    def _say(self, line: str) -> None:
        with self._lock:
            self._tell(line)

    def _told(self, line: str = "") -> None:
        with self._lock:
            done, total = self._schedule.ended, self._schedule.total
            if line:
                self._tell(f"{done} of {total}: {line}")
            self._on_progress(Progress("study", done, total, "tasks"))


def shared_passes(study: Study, models: Sequence[str]) -> list[tuple[str, ...]]:
    """Which variants of a seed are trained together: those that see the same states, a few at a time."""
    most = study.config.at_most_in_one_pass
    cut = partial(_cut, most=most)
    return sorted(
        (piece for whole in passes(study.run, models) for piece in cut(whole)), key=len, reverse=True
    )


def _cut(models: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Pieces of at most ``most``, as even as can be: one of five and one of one takes as long as one of five."""
    count = -(-len(models) // most)
    bounds = [len(models) * i // count for i in range(count + 1)]
    return [tuple(models[a:b]) for a, b in itertools.pairwise(bounds)]

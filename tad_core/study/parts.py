"""The runs inside a study: of each seed the first, alike up to training, and one for each further round.

A further round is what it is in a run (``stages.rounds``), with the same keys: the model that it begins from, trained
with the same seed, is merged into its base, and on these weights everything up to training is as in any run.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.errors import SubprocessError
from tad_core.progress import OnProgress
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages.collect import CollectionPlan
from tad_core.stages.rounds import Round, RoundMade
from tad_core.stages.variants import check_windows, inputs_of
from tad_core.study.config import Study
from tad_core.study.hands import Hands, hands_of
from tad_core.verify import Verifier
from tad_core.workers.jobs import StageJob


@dataclass(frozen=True)
class Trajectories:
    """What the models of one part are trained on."""

    collection: ArtifactRef
    filtered: ArtifactRef
    windows: ArtifactRef

    @property
    def refs(self) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
        """In order."""
        return self.collection, self.filtered, self.windows


@dataclass(frozen=True)
class Part:
    """A run inside a study: its settings and its trajectories."""

    config: TADConfig
    trajectories: Trajectories

    def find_adapter(self, name: str, store: Store) -> ArtifactRef | None:
        """The finished adapter of one of its models."""
        collection, filtered, windows = self.trajectories.refs
        mark = distill_stage.key_in(store, self.config, name, collection, filtered, windows)
        inputs = inputs_of(self.config, name, collection, filtered)
        return store.find(distill_stage.STAGE, mark, inputs)


def problems_of(study: Study, own: Round) -> tuple[int, int]:
    """How many problems a round rolls out, with the reference and without."""
    run = study.run
    problems = len(collect_stage.plan_collection(run).ordered)
    return problems, problems if rounds_stage.learns_from_plain(run, own) else run.rollout.compare_plain


def processes_of(study: Study, own: Round) -> int:
    """How many processes roll out a round: all hands, shared out over the seeds, but no more than there are shards."""
    share = hands_of(study) // len(study.config.seeds)
    if share < 2:
        return 1
    size = study.run.rollout.shard_size
    return max(1, min(share, sum(-(-problems // size) for problems in problems_of(study, own))))


def collect_once(study: Study, plan: CollectionPlan, store: Store, on_progress: OnProgress) -> Trajectories:
    """Collection, verdicts and windows, which all share but the variants of further rounds."""
    config = rounds_stage.first(study.run)
    collection = collect_stage.collect(config, store, on_progress)
    filtered = filter_stage.filter_all(config, plan, collection, store, on_progress)
    windows = calibrate_stage.calibrate(config, collection, filtered, store, on_progress=on_progress)
    return Trajectories(collection, filtered, windows)


def find_trajectories(config: TADConfig, store: Store) -> Trajectories | None:
    """What a run or a round is trained on, if all of it is there."""
    plan = collect_stage.plan_collection(config, store)
    collection = collect_stage.find_collection(plan, store)
    if collection is None:
        return None
    filtered = store.find(filter_stage.STAGE, filter_stage.key(config, plan), [collection])
    if filtered is None:
        return None
    mark = calibrate_stage.key(config, collection, filtered)
    windows = store.find(calibrate_stage.STAGE, mark, [collection, filtered])
    return None if windows is None else Trajectories(collection, filtered, windows)


def find_round(
    study_run: TADConfig, own: Round, before: Part, adapter: ArtifactRef, store: Store
) -> tuple[Part, RoundMade] | None:
    """A round that has its trajectories.

    Args:
        study_run: the whole run, with the seed.
        own: the round.
        before: the part whose model it begins from.
        adapter: of that model.
        store: where it is looked for.
    """
    merged = rounds_stage.find(before.config, adapter, store)
    if merged is None:
        return None
    config = rounds_stage.round_of(study_run, own, merged)
    found = find_trajectories(config, store)
    return None if found is None else (Part(config, found), RoundMade(merged, *found.refs))


@dataclass(frozen=True)
class Maker:
    """Makes rounds, each by one process at a time.

    Attributes:
        store: where everything lives.
        hands: have the processes.
        verifier: judges; open.
    """

    store: Store
    hands: Hands
    verifier: Verifier
    _planning: threading.Lock = field(default_factory=threading.Lock)

    def make(
        self, study_run: TADConfig, own: Round, before: Part, adapter: ArtifactRef, hand: int
    ) -> tuple[Part, RoundMade]:
        """Merge, roll out, judge, calibrate; what is there is taken.

        Args:
            study_run: the whole run, with the seed.
            own: the round.
            before: the part whose model it begins from.
            adapter: of that model.
            hand: of whose GPU the process is.

        Raises:
            ConfigError: a model has no window in the round's curve.
            DataError: too few of its trajectories are right.
            SubprocessError: a process died, or the study is being stopped.
        """
        merged = self.merged(own, before, adapter, hand)
        config = rounds_stage.round_of(study_run, own, merged)
        alone, plan = self._planned(config)
        with self.hands.pool(config.model, hand) as pool:
            collection = collect_stage.collect(alone, self.store, pool=pool)
            filtered = filter_stage.filter_all(
                alone, plan, collection, self.store, verifier=self.verifier, check=self._check
            )
            mark, inputs = calibrate_stage.key(alone, collection, filtered), [collection, filtered]
            windows = self.store.find(calibrate_stage.STAGE, mark, inputs)
            if windows is None:
                windows = pool.run(StageJob("calibrate", alone, self.store, inputs, self.hands.threads))
        check_windows(config, own.models, windows)
        made = Trajectories(collection, filtered, windows)
        return Part(config, made), RoundMade(merged, *made.refs)

    def merged(self, own: Round, before: Part, adapter: ArtifactRef, hand: int) -> ArtifactRef:
        """The weights that a round begins from; see ``make``."""
        if (found := rounds_stage.find(before.config, adapter, self.store)) is not None:
            return found
        alone = self._alone(before.config)
        with self.hands.pool(before.config.model, hand) as pool:
            return pool.run(StageJob("merge", alone, self.store, [adapter], self.hands.threads, own.of))

    def roll_out(
        self, study_run: TADConfig, own: Round, merged: ArtifactRef, hand: int, first: float
    ) -> None:
        """Take part in the rollouts of a round until no shard is left that nobody has in hand.

        Args:
            study_run: the whole run, with the seed.
            own: the round.
            merged: its weights.
            hand: of whose GPU the process is.
            first: where of all shards to begin, from 0 up to 1.
        """
        alone, _ = self._planned(rounds_stage.round_of(study_run, own, merged))
        with self.hands.pool(alone.model, hand) as pool:
            collect_stage.help_collect(alone, self.store, pool, first)

    def _check(self) -> None:
        if self.hands.closed:
            raise SubprocessError("study: it is being stopped")

    def _planned(self, config: TADConfig) -> tuple[TADConfig, CollectionPlan]:
        """The settings of one process of those side by side, and its plan; one thread at a time reads the data."""
        alone = self._alone(config)
        with self._planning:
            return alone, collect_stage.plan_collection(alone, self.store)

    def _alone(self, config: TADConfig) -> TADConfig:
        """The settings of one process of those side by side."""
        return config.model_copy(
            update={
                "model": config.model.model_copy(update={"threads": self.hands.threads}),
                "rollout": config.rollout.model_copy(update={"workers": 1}),
            }
        )

"""The runs inside a study: of each seed the first, alike up to training, and one for each further round.

A further round is what it is in a run (``stages.rounds``), with the same keys: the model that it begins from, trained
with the same seed, is merged into its base, and on these weights everything up to training is as in any run.
"""

from __future__ import annotations

from dataclasses import dataclass

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.errors import SubprocessError
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages.rounds import Round, RoundMade
from tad_core.stages.variants import check_windows, inputs_of
from tad_core.study.hands import Hands
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
        threads = self.hands.threads
        merged = rounds_stage.find(before.config, adapter, self.store)
        if merged is None:
            job = StageJob("merge", self._alone(before.config), self.store, [adapter], threads, own.of)
            with self.hands.pool(before.config.model, hand) as pool:
                merged = pool.run(job)
        config = rounds_stage.round_of(study_run, own, merged)
        alone = self._alone(config)
        plan = collect_stage.plan_collection(alone, self.store)
        with self.hands.pool(config.model, hand) as pool:
            collection = collect_stage.collect(alone, self.store, pool=pool)
            filtered = filter_stage.filter_all(
                alone, plan, collection, self.store, verifier=self.verifier, check=self._check
            )
            mark, inputs = calibrate_stage.key(alone, collection, filtered), [collection, filtered]
            windows = self.store.find(calibrate_stage.STAGE, mark, inputs)
            if windows is None:
                windows = pool.run(StageJob("calibrate", alone, self.store, inputs, threads))
        check_windows(config, own.models, windows)
        made = Trajectories(collection, filtered, windows)
        return Part(config, made), RoundMade(merged, *made.refs)

    def _check(self) -> None:
        if self.hands.closed:
            raise SubprocessError("study: it is being stopped")

    def _alone(self, config: TADConfig) -> TADConfig:
        """For one process of those side by side."""
        return config.model_copy(
            update={
                "model": config.model.model_copy(update={"threads": self.hands.threads}),
                "rollout": config.rollout.model_copy(update={"workers": 1}),
            }
        )

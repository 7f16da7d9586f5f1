"""What a study will take before it runs, counted: trainings, steps, answers, and how much of it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tad_core.artifacts import Store
from tad_core.errors import ConfigError
from tad_core.stages.rounds import rounds
from tad_core.study.config import Study
from tad_core.study.hands import hands_of
from tad_core.study.measure import Bench
from tad_core.study.parts import problems_of
from tad_core.study.schedule import shared_passes
from tad_core.study.stage import look


@dataclass(frozen=True)
class Outlook:
    """The counts of a study.

    Attributes:
        variants: that are trained; the base comes on top.
        passes: training processes of all seeds, each of one variant or of several that see the same states.
        steps: optimizer steps of one of them.
        states: drawn for each variant.
        cells: models x decoders, the base's among them.
        answers: decoded for all cells: problems x ways.
        side_by_side: processes at once.
        adapters_there: variants and seeds that are trained.
        cells_there: cells that are measured.
        rounds: further ones of all seeds.
        rollouts: trajectories of all of them, beside those that all variants share.
        rounds_there: that have their windows.
    """

    name: str
    variants: int
    seeds: int
    passes: int
    steps: int
    states: int
    cells: int
    answers: int
    side_by_side: int
    adapters_there: int
    cells_there: int
    rounds: int = 0
    rollouts: int = 0
    rounds_there: int = 0

    def lines(self) -> Iterator[str]:
        """For people."""
        trainings = self.variants * self.seeds
        seeds, passes = _counted(self.seeds, "seed"), _counted(self.passes, "pass", "es")
        yield f"{self.name}: {self.variants} variants x {seeds} in {passes} of {_counted(self.steps, 'step')}"
        yield f"{self.states:,} states a variant, {self.cells} cells, {self.answers:,} answers"
        there = [
            f"{self.adapters_there} of {trainings} trained",
            f"{self.cells_there} of {self.cells} cells measured",
        ]
        if self.rounds:
            rounds = _counted(self.rounds, "further round")
            yield f"{rounds}: {self.rollouts:,} rollouts, judged, with windows of their own"
            there.insert(0, f"{self.rounds_there} of {_counted(self.rounds, 'round')} rolled out")
        yield f"{self.side_by_side} processes side by side"
        yield f"there: {', '.join(there)}"


def _counted(count: int, what: str, more: str = "s") -> str:
    return f"{count:,} {what}{more * (count != 1)}"


def outlook(study: Study, store: Store) -> Outlook:
    """Count; reads the data and looks into the store, runs nothing.

    Raises:
        DataError, ModelError: data or checkpoint cannot be used.
    """
    bench, config = Bench(study, store), study.config
    try:
        made = look(study, store)
        adapters, cells, there = len(made.adapters), len(made.cells), len(made.rounds)
    except ConfigError:  # nothing is collected yet, so that no adapter or cell has a name
        adapters, cells, there = 0, len(bench.finished("base", None)), 0
    models = 1 + len(config.variants) * len(config.seeds)
    steps = study.run.distill.max_steps
    problems = sum(sum(problems_of(study, own)) for own in rounds(study.run))
    assert steps is not None, "the budget of states says how many"
    return Outlook(
        name=config.name,
        variants=len(config.variants),
        seeds=len(config.seeds),
        passes=len(config.seeds) * len(shared_passes(study, list(config.variants))),
        steps=steps,
        states=config.states,
        cells=models * len(config.decoders),
        answers=models * bench.answers,
        side_by_side=hands_of(study),
        adapters_there=adapters,
        cells_there=cells,
        rounds=len(config.seeds) * len(rounds(study.run)),
        rollouts=len(config.seeds) * study.run.rollout.samples * problems,
        rounds_there=there,
    )

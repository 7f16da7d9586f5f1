"""The seven words in order: the whole run without Prefect, its rounds too, and the checks before any of it.

``run_pipeline`` is for library use, notebooks and tests; the flows do the same with Prefect's tasks around each
stage. Both end with the same artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from tad_core.artifacts import ArtifactRef, Store, clocks
from tad_core.artifacts.cache import check_cache
from tad_core.config import BASE, TADConfig
from tad_core.config.marks import with_cost
from tad_core.data import unknown as unknown_in
from tad_core.data.apart import also_trained_on, on_rows_for_training
from tad_core.data.problem import Problem
from tad_core.data.unknown import Unknown, check_unknown
from tad_core.errors import ConfigError, DataError, ModelError
from tad_core.progress import OnProgress, silent
from tad_core.shapes import is_here
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages import evaluate as evaluate_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages import report as report_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages import variants as variants_stage
from tad_core.stages.collect import CollectionPlan, unknown_of
from tad_core.stages.family_checks import check_cache_of_family, check_trainable
from tad_core.stages.made import RunMade
from tad_core.stages.rounds import Round, RoundMade
from tad_core.training.command import check_installed, check_settings
from tad_core.verify.sandbox.tiers import require_tier
from tad_core.workers.devices import check_here, check_processes, workers_of

Stage = Literal["collect", "filter", "calibrate", "distill", "evaluate", "report"]
STAGES: tuple[Stage, ...] = ("collect", "filter", "calibrate", "distill", "evaluate", "report")


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a run, as far as it went."""

    collection: ArtifactRef
    filtered: ArtifactRef | None = None
    windows: ArtifactRef | None = None
    distilled: dict[str, ArtifactRef] = field(default_factory=dict)
    evaluated: dict[str, ArtifactRef] = field(default_factory=dict)
    report: ArtifactRef | None = None
    rounds: dict[str, RoundMade] = field(default_factory=dict)
    """By the model that a round begins from."""

    @property
    def filtered_ref(self) -> ArtifactRef:
        """The verdicts, of a run that has come so far."""
        assert self.filtered is not None, "filtering comes before"
        return self.filtered

    @property
    def made(self) -> RunMade:
        """What a report is made from, of a run that has come so far."""
        return RunMade(
            self.collection, self.filtered_ref, self.windows, self.distilled, self.evaluated, self.rounds
        )

    def add_round(self, own: Round, merged: ArtifactRef, made: Outcome) -> None:
        """Take in what a round has made."""
        assert made.windows is not None, "a round goes on to distillation"
        self.rounds[own.of] = RoundMade(merged, made.collection, made.filtered_ref, made.windows)
        self.distilled.update(made.distilled)


def plan_of(config: TADConfig, store: Store | None = None) -> CollectionPlan:
    """The validated plan of the collection, with the shards as they lie in the store.

    Raises:
        ConfigError, DataError, ModelError: whatever is wrong with the input.
    """
    return collect_stage.plan_collection(config, store)


def prepare(
    config: TADConfig,
    store: Store,
    until: Stage = "report",
    tell: Callable[[str], None] = lambda note: None,
) -> CollectionPlan:
    """Find everything that can be found wrong before any work: config, data, model files, store, sandbox.

    Args:
        config: the run.
        store: where its artifacts go.
        until: the last stage that is wanted.
        tell: told what is no fault and should be known.

    Raises:
        TADError: one clear message; nothing was written but probe files in store and cache, removed again.
    """
    for check in device_checks(config, store, until):
        check()
    if wants(until, "evaluate"):
        evaluate_stage.check_decoders(config)
    plan = plan_of(config)
    check_unknown(config.data, unknown_of(config, plan))
    if wants(until, "filter"):
        check_enough(config, plan)
    tasks: dict[str, list[Problem]] = {}
    if wants(until, "evaluate"):
        tasks = evaluate_stage.load_tasks(config)
        check_tasks(config, tasks)
        for note in (*on_rows_for_training(config.evaluate.tasks), *also_trained_on(plan.ordered, tasks)):
            tell(note)
    if wants(until, "distill"):
        check_training(config)
    for check in place_checks(config, store, plan, tasks, until):
        check()
    if note := clocks.note(store.root):
        tell(note)
    return plan_of(config, store)


def trained_models(config: TADConfig) -> list[str]:
    """The models that distillation has to make: all that are compared, but the base."""
    return [name for name in config.evaluate.models if name != BASE]


def wants(until: Stage, stage: Stage) -> bool:
    """Whether a run that ends with ``until`` comes to ``stage``."""
    return STAGES.index(stage) <= STAGES.index(until)


def check_stages(names: Collection[str], option: str, until: Stage = "report") -> None:
    """Raise ``ConfigError`` for a stage that is not one, or that a run which ends with ``until`` does not come to."""
    for name in names:
        if name not in STAGES:
            raise ConfigError(f"{option}: {name!r} is not a stage; use one of {', '.join(STAGES)}")
        if STAGES.index(name) > STAGES.index(until):
            there = STAGES[: STAGES.index(until) + 1]
            raise ConfigError(
                f"{option}: {name} comes after {until}, with which this run ends; name one of {', '.join(there)}, or "
                f"run to {name}"
            )


def run_pipeline(
    config: TADConfig,
    store: Store,
    on_progress: OnProgress = silent,
    until: Stage = "report",
    force: Collection[Stage] = (),
) -> Outcome:
    """Every stage up to ``until``, one after the other, in this process and the children of its stages.

    Args:
        config: the whole configuration.
        store: where artifacts are looked for and written.
        on_progress: told of every stage's progress.
        until: the last stage to run.
        force: stages to compute again even where they are done.

    Raises:
        TADError: the first one a stage raises; what was finished before stays.
    """
    check_stages(force, "force", until)
    prepare(config, store, until)
    run = rounds_stage.first(config)
    outcome = _distilled(run, store, on_progress, until, force)
    if not wants(until, "distill"):
        return outcome
    parts = dict.fromkeys(outcome.distilled, run)
    for own in rounds_stage.rounds(config):
        before, adapter = parts[own.of], outcome.distilled[own.of]
        merged = rounds_stage.merge(before, own, adapter, store, on_progress, "distill" in force)
        inner = rounds_stage.round_of(config, own, merged)
        made = _distilled(inner, store, on_progress, "distill", force)
        outcome.add_round(own, merged, made)
        parts |= dict.fromkeys(made.distilled, inner)
    if not wants(until, "evaluate"):
        return outcome
    for part in [run, *rounds_stage.of_parts(parts, run)]:
        outcome.evaluated.update(
            evaluate_stage.evaluate_all(part, outcome.distilled, store, on_progress, "evaluate" in force)
        )
    if not wants(until, "report"):
        return outcome
    report = report_stage.report(config, outcome.made, store, force="report" in force)
    return replace(outcome, report=report)


def _distilled(
    config: TADConfig, store: Store, on_progress: OnProgress, until: Stage, force: Collection[Stage]
) -> Outcome:
    """The stages up to distillation, of a run without rounds or of a round."""
    plan = plan_of(config, store)
    collection = collect_stage.collect(config, store, on_progress, "collect" in force)
    if not wants(until, "filter"):
        return Outcome(collection)
    filtered = filter_stage.filter_all(config, plan, collection, store, on_progress, "filter" in force)
    if not wants(until, "calibrate"):
        return Outcome(collection, filtered)
    windows = calibrate_stage.calibrate(
        config, collection, filtered, store, on_progress=on_progress, force="calibrate" in force
    )
    outcome = Outcome(collection, filtered, windows)
    if not wants(until, "distill"):
        return outcome
    variants_stage.check_windows(config, trained_models(config), windows)
    for modes in variants_stage.passes(config, trained_models(config)):
        made = distill_stage.distill_together(
            config,
            modes,
            collection,
            filtered,
            windows,
            store,
            on_progress=on_progress,
            force="distill" in force,
        )
        outcome.distilled.update(made)
    return outcome


# --- checks -----------------------------------------------------------------------------------------


def device_checks(config: TADConfig, store: Store, until: Stage = "report") -> list[Callable[[], object]]:
    """That this machine has the devices which the stages are to use; each raises ``TADError``."""
    checks: list[Callable[[], object]] = []
    if config.rollout.decode_here:
        checks.append(lambda: workers_of(config))
    if wants(until, "evaluate"):
        checks.append(lambda: evaluate_stage.check_workers(config))
    if wants(until, "distill"):
        checks.append(lambda: check_processes(config))
        for mode, (kind, field_name) in variants_stage.packings(config, trained_models(config)).items():
            if kind == "fp8" and config.distill.hostfile is None:  # or the hosts are others
                checks.append(partial(_check_float8, config, store, mode, field_name))
    return checks


def _check_float8(config: TADConfig, store: Store, mode: str, field_name: str) -> None:
    """That a GPU has products of 8-bit floats, unless the model that is to be trained with them is trained already."""
    from tad_core.models.float8 import check_gpu  # which loads torch
    from tad_core.stages.room import what_is_there

    try:
        check_gpu(config.model.device, field_name)
    except ModelError:
        if not is_here(config.model) or mode not in what_is_there(config, store).adapters:
            raise


def check_enough(config: TADConfig, plan: CollectionPlan) -> None:
    """Raise ``DataError`` where not even all rollouts together are as many as have to be right."""
    most, wanted = len(plan.ordered) * config.rollout.samples, config.rollout.min_kept
    if most < wanted:
        raise DataError(
            f"rollout.min_kept: {wanted} trajectories have to be right, and there are {most} in all "
            f"({len(plan.ordered)} problems x rollout.samples {config.rollout.samples}); give more problems or "
            f"samples, or lower {with_cost('rollout.min_kept')}"
        )


def check_training(config: TADConfig) -> None:
    """Raise ``ConfigError`` for settings of training that cannot be together."""
    check_settings(config.distill)
    for kind, field_name in variants_stage.packings(config, trained_models(config)).values():
        check_installed(kind, field_name)
    for mode in trained_models(config):
        variants_stage.variant_of(config, mode)
    variants_stage.check_rules(config, trained_models(config))


def check_tasks(config: TADConfig, tasks: Mapping[str, Sequence[Problem]]) -> list[Unknown]:
    """What the model cannot read of the tasks of evaluation; refuses those of which that is too much.

    Raises:
        DataError: more than a task's ``max_unknown``.
    """
    unknown = unknown_in.count_unknown(config.model, (p for problems in tasks.values() for p in problems))
    check_unknown(config.evaluate.tasks, unknown)
    return unknown


def place_checks(
    config: TADConfig,
    store: Store,
    plan: CollectionPlan,
    tasks: Mapping[str, Sequence[Problem]],
    until: Stage = "report",
) -> list[Callable[[], object]]:
    """That store, sandbox and model can be used for it; each raises ``TADError``."""
    from tad_core.stages.room import check_room  # which looks at what there is of all stages

    checks: list[Callable[[], object]] = [
        lambda: _check_device(config, store, until),
        lambda: check_cache_of_family(config, wants(until, "evaluate")),
        lambda: check_room(config, store, plan, until),
    ]
    problems = [*plan.ordered, *(p for problems in tasks.values() for p in problems)]
    if wants(until, "filter") and any(problem.kind == "code" for problem in problems):
        checks.append(lambda: require_tier(config.filter.sandbox))
    if wants(until, "calibrate"):  # tables of training are made there, after all the decoding
        checks.append(check_cache)
    if wants(until, "distill"):
        checks.append(lambda: check_trainable(config, trained_models(config)))
    return checks


def _check_device(config: TADConfig, store: Store, until: Stage) -> None:
    """Raise ``ConfigError`` for a device that is not here, unless nothing that computes on it is left to do."""
    from tad_core.stages.status import pipeline_status  # which imports this module

    try:
        check_here(config.model.device)
    except ConfigError:
        computed = [stage for stage in STAGES if stage not in ("filter", "report") and wants(until, stage)]
        if not config.rollout.decode_here:
            computed.remove("collect")
        if any(seen.state != "done" for seen in pipeline_status(config, store) if seen.stage in computed):
            raise

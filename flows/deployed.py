"""What is deployed: each flow turns its run form into a configuration and runs the pipeline up to one stage.

The signature is the form (``flows.form``); ``deployments/prefect.yaml`` names these functions. A run that is retried
finds what it has done in the store, as every other run does.
"""

# No `from __future__ import annotations`: the types of the form are built here, and Prefect reads them from the
# signature.

import contextlib
from typing import Any, Literal

from prefect import flow, get_run_logger
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.form import ROOT, changes, configured, presets
from flows.form_fields import Partial
from flows.orphans import look_after_itself
from flows.pipeline import pipeline as run_pipeline
from tad_core.artifacts import Store
from tad_core.artifacts.files import no_answer
from tad_core.config import TADConfig
from tad_core.errors import ConfigError, TADError
from tad_core.presence import gone
from tad_core.stages.pipeline import STAGES, Outcome, Stage, check_stages, prepare
from tad_core.stages.status import pipeline_status
from tasks.records import tag_run

_COLLECT = ("model", "rollout")
_FILTER = (*_COLLECT, "filter")
_DISTILL = (*_FILTER, "calibrate", "distill")
_EVERYTHING = tuple(TADConfig.model_fields)

Preset: Any = Literal[tuple(presets())]
Changes: Any = changes(*_EVERYTHING)
CollectChanges: Any = changes(*_COLLECT)
FilterChanges: Any = changes(*_FILTER)
DistillChanges: Any = changes(*_DISTILL)

# Without flow_run_name: it would replace the name that was typed into the form.
_OPTIONS: dict[str, Any] = {"task_runner": ThreadPoolTaskRunner()}


@flow(name="tad", **_OPTIONS)
def pipeline(
    preset: Preset = "demo",
    until: Stage = "report",
    changes: Changes = Changes(),  # noqa: B008 (the form shows it; immutable)
    overrides: list[str] = [],  # noqa: B006 (the form shows literals; never written to)
    force: list[Stage] = [],  # noqa: B006
) -> Outcome:
    """Collect, filter, calibrate, distil, evaluate and report; what is done already is taken as it is.

    Args:
        preset: The configuration to start from.
        until: The last stage to run.
        changes: Settings that differ from the preset; an empty field is as in the preset.
        overrides: Anything else, as section.field=value, e.g. data.0.count=100; they come last.
        force: Stages to compute again though they are done.
    """
    return _run(until, preset, changes, overrides, force)


@flow(name="tad-collect", **_OPTIONS)
def collect(
    preset: Preset = "demo",
    changes: CollectChanges = CollectChanges(),  # noqa: B008
    overrides: list[str] = [],  # noqa: B006
    force: bool = False,
) -> Outcome:
    """Decode the trajectories of the privileged teacher.

    Args:
        preset: The configuration to start from.
        changes: Settings that differ from the preset; an empty field is as in the preset.
        overrides: Anything else, as section.field=value, e.g. data.0.count=100; they come last.
        force: Collect again though it is done.
    """
    return _run("collect", preset, changes, overrides, ["collect"] if force else [])


@flow(name="tad-filter", **_OPTIONS)
def filter(
    preset: Preset = "demo",
    changes: FilterChanges = FilterChanges(),  # noqa: B008
    overrides: list[str] = [],  # noqa: B006
    force: bool = False,
) -> Outcome:
    """Judge the trajectories; they have to be collected.

    Args:
        preset: The configuration to start from.
        changes: Settings that differ from the preset; an empty field is as in the preset.
        overrides: Anything else, as section.field=value, e.g. data.0.count=100; they come last.
        force: Judge again though it is done.
    """
    return _run("filter", preset, changes, overrides, ["filter"] if force else [], only="filter")


@flow(name="tad-distill", **_OPTIONS)
def distill(
    preset: Preset = "demo",
    changes: DistillChanges = DistillChanges(),  # noqa: B008
    overrides: list[str] = [],  # noqa: B006
    force: bool = False,
) -> Outcome:
    """Calibrate and train the models; does first whatever is missing before.

    Args:
        preset: The configuration to start from.
        changes: Settings that differ from the preset; an empty field is as in the preset.
        overrides: Anything else, as section.field=value, e.g. data.0.count=100; they come last.
        force: Train again though it is done.
    """
    return _run("distill", preset, changes, overrides, ["distill"] if force else [])


@flow(name="tad-evaluate", **_OPTIONS)
def evaluate(
    preset: Preset = "demo",
    changes: Changes = Changes(),  # noqa: B008
    overrides: list[str] = [],  # noqa: B006
    force: bool = False,
) -> Outcome:
    """Measure accuracy and tokens per forward of every model; does first whatever is missing before.

    Args:
        preset: The configuration to start from.
        changes: Settings that differ from the preset; an empty field is as in the preset.
        overrides: Anything else, as section.field=value, e.g. data.0.count=100; they come last.
        force: Evaluate again though it is done.
    """
    return _run("evaluate", preset, changes, overrides, ["evaluate"] if force else [])


@flow(name="tad-report", **_OPTIONS)
def report(
    preset: Preset = "demo",
    changes: Changes = Changes(),  # noqa: B008
    overrides: list[str] = [],  # noqa: B006
    force: bool = False,
) -> Outcome:
    """Write tables and pictures; everything before has to be done.

    Args:
        preset: The configuration to start from.
        changes: Settings that differ from the preset; an empty field is as in the preset.
        overrides: Anything else, as section.field=value, e.g. data.0.count=100; they come last.
        force: Write it again though it is done.
    """
    return _run("report", preset, changes, overrides, ["report"] if force else [], only="report")


def _run(
    until: Stage,
    preset: str,
    changed: Partial,
    overrides: list[str],
    force: list[Stage],
    only: Stage | None = None,
) -> Any:
    """The pipeline's own flow for what was filled in; a state with one message where that is wrong or fails.

    An error of ours, or of the store, says all there is to say; raised, Prefect would write it down as two tracebacks.
    """
    look_after_itself()
    try:
        return _started(until, preset, changed, overrides, force, only)
    except (TADError, OSError) as error:
        told = gone() or (no_answer(error) if isinstance(error, OSError) else str(error))
        if not told:
            raise
        get_run_logger().error(told)
        return Failed(message=told)


def _started(
    until: Stage,
    preset: str,
    changed: Partial,
    overrides: list[str],
    force: list[Stage],
    only: Stage | None,
) -> Outcome:
    """Check everything first, so that a wrong value is one message at the start.

    With ``only`` the stages before it have to be done: it runs on machines that are not made for them.
    """
    check_stages(force, "force", until)
    config = configured(preset, changed, overrides)
    tag_run(config.name, f"to {until}")
    # A run has a process of its own, whose folder is the worker's choice; presets speak of files beside them.
    with contextlib.chdir(ROOT):
        store = Store(config.store)
        if only is not None:
            _require_done(config, store, only)
        prepare(config, store, until, get_run_logger().warning)
        return run_pipeline.fn(config, until, force)


def _require_done(config: TADConfig, store: Store, stage: Stage) -> None:
    before = STAGES[: STAGES.index(stage)]
    entries = [e for e in pipeline_status(config, store) if e.stage in before and not e.is_shard]
    first = next((entry for entry in entries if entry.state != "done"), None)
    if first is None:
        return
    what = f"{first.stage} {first.name}" if first.stage in ("distill", "evaluate") else first.stage
    maker = "distill" if first.stage == "calibrate" else first.stage
    raise ConfigError(
        f"store: {config.store} has no finished {what} for this configuration ({first.state}); run the deployment "
        f"tad-{maker}/{maker} or tad/pipeline with the same values first"
    )

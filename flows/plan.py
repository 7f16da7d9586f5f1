"""``tad plan``: what a run will take, before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable

from flows.terminal import plain_console, plain_table
from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.data.unknown import WORTH_SAYING
from tad_core.hub import without_fetching
from tad_core.planning import Estimate, count, estimate, this_machine
from tad_core.planning.machines import named_machine
from tad_core.planning.speeds import speeds_of
from tad_core.planning.survey import survey
from tad_core.planning.trial import filled_in, is_light, tried_on_a_cpu, try_out
from tad_core.shapes import shape_of

_TRYING = "loading torch and the model, to try how fast this machine is at it"


def plan_run(
    config: TADConfig,
    gpu: str | None,
    gpus: int | None,
    measure: bool,
    read_data: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Estimate:
    """Count, look up or try the machine's speed, and estimate; ``say`` is told before a trial, which takes seconds.

    Raises:
        ConfigError, ModelError: nothing can be planned.
    """
    store = Store(config.store)
    with without_fetching():  # a plan says what a download would cost, it does not pay for it
        shape, read_from = shape_of(config.model)
        counts = count(config, store, survey(config, store, this_machine=gpu is None) if read_data else None)
    wanted = max(config.rollout.workers or 1, config.distill.processes, config.evaluate.workers)
    machine = named_machine(gpu, gpus or wanted) if gpu else this_machine(config.store)
    trial = None
    if measure and not gpu:
        say(_TRYING)
        trial = try_out(config, shape, counts)
    speeds = speeds_of(config, shape, counts, machine, store, trial)
    if machine.gpu is None and is_light(shape) and None in (speeds.rollout, speeds.train, speeds.decode):
        say(_TRYING)
        with without_fetching():
            trial = tried_on_a_cpu(config, shape, counts)
        speeds = speeds if trial is None else filled_in(speeds, trial)
    return estimate(config, shape, read_from, counts, machine, speeds)


def check_run(config: TADConfig) -> None:
    """Print what a run would work on.

    Raises:
        TADError: all that it would refuse, with the exit code of the first.
    """
    found = survey(config, Store(config.store))
    console = plain_console()
    for what, sizes in (("data", found.sizes), ("evaluate", found.task_sizes)):
        for name, size in sizes.items():
            console.print(f"{what} {name}: {size:,} problems")
    for entry in found.unknown:
        if entry.share >= WORTH_SAYING:
            console.print(f"note: {entry.told()}")
    for note in found.notes:
        console.print(f"note: {note}")
    if (error := found.error()) is not None:
        raise error
    if found.to_fetch:
        console.print(
            f"{config.name}: nothing is wrong that can be seen before what comes from the hub is here; not looked at: "
            + ", ".join(found.to_fetch)
        )
        return
    console.print(f"{config.name}: tad run will begin")


def print_plan(plan: Estimate, as_json: bool) -> None:
    """A table with what does not fit and what was assumed below it; or all of it as JSON."""
    if as_json:
        print(json.dumps(plan.as_dict(), indent=1))
        return
    console = plain_console()
    console.print(f"{plan.name} on {plan.machine}", style="italic", soft_wrap=True)
    table = plain_table("stage", "work", "time", "GPU h", "GiB", "speed from", right=("time", "GPU h", "GiB"))
    for stage in plan.stages:
        hours = f"{stage.gpu_hours:.1f}" if stage.gpu_hours is not None else ""
        memory = f"{stage.memory_gib:.1f}" if stage.memory_gib else ""
        table.add_row(stage.stage, stage.work, duration(stage.wall_s), hours, memory, stage.basis)
    total = f"{plan.gpu_hours:.1f}" if plan.gpu_hours is not None else ""
    table.add_row("all", "", duration(plan.wall_s), total, "", "", style="bold")
    console.print(table)
    console.print(f"model: {plan.model}, {plan.parameters:,} parameters; disk: {plan.disk_gib:.1f} GiB")
    out = sum(n for reasons in plan.counts.left_out.values() for n in reasons.values())
    console.print(
        f"problems: {plan.counts.problems:,} ({out:,} left out), {plan.counts.kept:,} trajectories to train on, "
        f"{plan.counts.states:,} states a model",
        highlight=False,
    )
    for note in plan.notes:
        console.print(f"note: {note}")
    for problem in plan.problems:
        console.print(f"will not fit: {problem}", style="bold red")
    for refused in plan.counts.refused:
        console.print(f"tad run refuses: {refused}", style="bold red")


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours, as a person would say it."""
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

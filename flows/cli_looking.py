"""The commands of ``tad`` that look and compute nothing: data, plans, what is there, what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import running
from flows.options import Config, Debug, Overrides, StoreUrl, epilog
from flows.running import FAILED
from tad_core.errors import ConfigError

looking = typer.Typer()


@looking.command(epilog="Example:\n\ntad init my-data\n\ntad run my-data/config.yaml")
def init(
    name: Annotated[
        Path,
        typer.Argument(metavar="NAME", help="A new folder; its name is the set-up's.", show_default=False),
    ],
    debug: Debug = False,
) -> None:
    """Begin with data of your own: a commented configuration and a few lines of math and code that run as they are."""

    def work() -> None:
        from flows.starting import start

        config = start(name)
        typer.echo(f"wrote {config}, and data beside it; put yours in its place, then:\n  tad run {config}")

    running.guard(work, debug)


@looking.command(epilog="Example:\n\ntad files my-tad")
def files(
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is not there.", show_default=False)],
    debug: Debug = False,
) -> None:
    """Copy what comes with TAD to where it can be changed: configurations, the small model, deployment files."""

    def work() -> None:
        from tad_core import shipped

        for place in shipped.copy_to(folder):
            typer.echo(f"wrote {place}")

    running.guard(work, debug)


@looking.command(epilog=epilog("check"))
def check(config: Config, set_: Overrides = None, store: StoreUrl = None, debug: Debug = False) -> None:
    """Say everything that is wrong with settings, data, model and this machine; runs nothing."""

    def work() -> None:
        loaded = running.load(config, set_ or [], store)
        from flows.plan import check_run
        from tad_core.config import naming_lines

        with naming_lines(config, set_ or []):
            check_run(loaded)

    running.guard(work, debug)


@looking.command(epilog=epilog("plan", "tad plan configs/llada-8b.yaml --gpu h200 --gpus 8"))
def plan(
    config: Config,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", help="Plan for this GPU instead of this machine, e.g. h200, h100, a100."),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", min=1, help="How many a host has; default: as many as the config uses."),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Time a few forwards here first.")] = False,
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Do not read the data: take the counts from the config.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Say what a run will take before it runs: samples, steps, hours, memory, disk, and what it would refuse.

    Exit code 1: it will not fit; otherwise that of tad run.
    """

    def work() -> None:
        if gpu is None and gpus is not None:
            raise ConfigError(
                f"--gpus: {gpus} given, and it is read with --gpu alone; name the GPU, e.g. --gpu h100"
            )
        if gpu is not None and measure:
            raise ConfigError(
                f"--measure: times this machine, and --gpu {gpu} plans for another; leave one out"
            )
        loaded = running.load(config, set_ or [], store)
        from flows.plan import plan_run, print_plan
        from tad_core.config import naming_lines

        with naming_lines(config, set_ or []):
            planned = plan_run(loaded, gpu, gpus, measure, not no_data, running.say_first)
        print_plan(planned, as_json)
        if planned.counts.exit_code or planned.problems:
            raise typer.Exit(planned.counts.exit_code or FAILED)

    running.guard(work, debug)


@looking.command(epilog=epilog("status"))
def status(
    config: Config,
    set_: Overrides = None,
    store: StoreUrl = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file again, whatever this host knows of it.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Say what is done, missing or broken, stage by stage; runs nothing."""

    def work() -> None:
        loaded = running.load(config, set_ or [], store)
        from flows.status import print_status
        from tad_core.config import naming_lines

        with naming_lines(config, set_ or []):
            print_status(loaded, verify)

    running.guard(work, debug)


@looking.command(
    epilog=epilog(
        "show", "tad show configs/demo.yaml --verdict wrong\n\ntad show configs/demo.yaml --problem ID"
    )
)
def show(
    config: Config,
    problem: Annotated[
        str,
        typer.Option("--problem", metavar="ID", help="One problem: prompt, reference, and all its texts."),
    ] = "",
    source: Annotated[str, typer.Option("--source", help="Texts of one source or task.")] = "",
    verdict: Annotated[
        str, typer.Option("--verdict", help="Texts of one verdict, e.g. different; wrong: all but passed.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", help="teacher (rollouts), base, or a model of the table.")
    ] = "",
    way: Annotated[
        str, typer.Option("--way", help="privileged, plain, 'token by token', 'threshold 0.5'.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many texts; 0: all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the texts as JSON lines.")] = False,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Look at what a run has written: shards, verdicts, texts, and how each answer was decoded, in colour."""

    def work() -> None:
        loaded = running.load(config, set_ or [], store)
        from flows.texts import show as show_texts
        from tad_core.config import naming_lines
        from tad_core.report.texts import Wanted

        with naming_lines(config, set_ or []):
            show_texts(loaded, Wanted(source, verdict, model, way, problem), limit, as_json)

    running.guard(work, debug)


@looking.command(epilog="Examples:\n\ntad compare configs/demo.yaml runs/other")
def compare(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="YAML file of a finished run, its store, or its report's folder."),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Hold two finished runs side by side: accuracy, speed, AUP, and the settings in which they differ."""

    def work() -> None:
        from flows.compare import compare as compare_runs

        compare_runs((a, b), as_json)

    running.guard(work, debug)


@looking.command(epilog="Example:\n\ntad doctor")
def doctor(
    store: Annotated[str, typer.Option("--store", help="Folder whose disk is looked at.")] = "runs",
    debug: Debug = False,
) -> None:
    """Look at this machine: versions, GPUs, disk, sandbox, server; with a remedy for what is wrong."""

    def work() -> None:
        from flows.doctor import print_findings

        if not print_findings(store):
            raise typer.Exit(FAILED)

    running.guard(work, debug)

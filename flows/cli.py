"""The command line, ``tad``. What a command needs is imported when it runs, so that help comes at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows import running
from flows.cli_looking import looking
from flows.cli_serving import serving
from flows.options import Config, Debug, Force, Overrides, StoreUrl, epilog
from tad_core import __version__

app = typer.Typer(
    name="tad",
    help="Temporal-aware trajectory self-distillation: make a slow diffusion language model fast and accurate.\n\n"
    "Every command takes a YAML file, runs what it needs and is not done yet, and may be repeated or continued at "
    "any time.\n\nExit codes: 0 done, 1 failed, 2 wrong input, 130 stopped by Ctrl-C, 141 nobody reads the output.",
    epilog="Examples:\n\n"
    "tad run configs/demo.yaml\n\n"
    "tad run configs/demo.yaml --set distill.learning_rate=5e-4\n\n"
    "tad status configs/demo.yaml",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tad {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None: ...


def _add(word: str, until: str, help_: str, more: str = "") -> None:
    """A command that runs the pipeline up to a stage."""

    def command(
        config: Config,
        set_: Overrides = None,
        force: Force = None,
        store: StoreUrl = None,
        debug: Debug = False,
    ) -> None:
        running.guard(lambda: running.run_until(until, config, set_ or [], force or [], store, debug), debug)

    app.command(word, help=help_, epilog=epilog(word, more))(command)


_RATE = "--set distill.learning_rate=5e-4"
_add(
    "run",
    "report",
    "Run the whole pipeline and print the result.",
    "tad run configs/demo.yaml --force distill",
)
_add("collect", "collect", "Decode the trajectories of the privileged teacher.")
_add("filter", "filter", "Judge the trajectories, and collect them first.")
_add("calibrate", "calibrate", "Read the windows off the student's confidence, and everything before.")
_add(
    "distill", "distill", "Train the models, and everything before.", f"tad distill configs/demo.yaml {_RATE}"
)
_add("evaluate", "evaluate", "Measure accuracy and tokens per forward of each model, and everything before.")
_add("report", "report", "Write tables and pictures, and everything before: the same as run.")


@app.command(epilog="Examples:\n\ntad demo\n\ntad demo --set distill.max_steps=20")
def demo(
    set_: Overrides = None, force: Force = None, store: StoreUrl = None, debug: Debug = False
) -> None:  # fmt: skip
    """Run the whole pipeline on the small model that comes with TAD: minutes on two cores."""
    from tad_core import shipped

    settings = [f"model.path={shipped.model_here()}", *(set_ or [])]
    path = shipped.root() / shipped.DEMO
    running.guard(lambda: running.run_until("report", path, settings, force or [], store, debug), debug)


@app.command(epilog=epilog("replicate", "tad replicate configs/demo.yaml --seeds 0,1,2,3,4"))
def replicate(
    config: Config,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of distillation, two or more.")] = "0,1,2",
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Train with several seeds and compare over all of them, with intervals over seeds and problems."""
    running.guard(lambda: running.replicate(config, seeds, set_ or [], store, debug), debug)


@app.command(
    epilog="Examples:\n\ntad study configs/study-tiny.yaml\n\n"
    "tad study configs/study-tiny.yaml --set seeds=[0] --set set.distill.learning_rate=5e-4"
)
def study(
    config: Annotated[
        Path, typer.Argument(help="YAML file, e.g. configs/study-tiny.yaml.", show_default=False)
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE",
            help="Change a field of the study, or of its run: --set set.rollout.seed=3; repeatable.",
        ),
    ] = None,
    only_results: Annotated[
        bool, typer.Option("--only-results", help="Of what is finished; trains and measures nothing.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it will take and what of it is there; runs nothing.")
    ] = False,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, help="Processes side by side; default: the file's.")
    ] = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Train and measure variants x seeds x decoders on one data set, and write the tables that compare them."""
    given = [*(set_ or []), *([] if at_once is None else [f"side_by_side={at_once}"])]

    def work() -> None:
        if plan:
            running.plan_study(config, given, store)
        else:
            running.study(config, given, store, only_results, debug)

    running.guard(work, debug)


@app.command(epilog="Example:\n\ntad pretrain configs/pretrain-tiny.yaml")
def pretrain(
    config: Annotated[
        Path, typer.Argument(help="YAML file, e.g. configs/pretrain-tiny.yaml.", show_default=False)
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Train again though the folder has a checkpoint.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train the small base model from nothing (minutes on a GPU, hours on a CPU)."""
    running.guard(lambda: running.pretrain(config, force, debug), debug, keeps=False)


@app.command(
    epilog="Examples:\n\ntad export configs/demo.yaml --model quality --out exports/quality\n\n"
    "tad export configs/demo.yaml --model speed --out exports/speed --adapter-only\n\n"
    "tad export configs/demo.yaml --model speed --out exports/speed-gguf --format gguf --dtype float16"
)
def export(
    config: Config,
    model: Annotated[
        str, typer.Option("--model", help="A model of the table, e.g. quality.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.", show_default=False)],
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="The LoRA adapter instead of the merged model.")
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype", help="float32, bfloat16 or float16, of the merged weights; default: the config's."
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="safetensors, or gguf: one file for llama.cpp.")
    ] = "safetensors",
    quantize: Annotated[
        str, typer.Option("--quantize", help="int8 or int4: the projections of a gguf in so many bits.")
    ] = "none",
    push_to_hub: Annotated[
        str | None, typer.Option("--push-to-hub", metavar="REPO", help="Upload it, too; private by default.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Upload it for everyone to see.")] = False,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Write a distilled model of a finished run as a folder that loads wherever the original does."""

    def work() -> None:
        loaded = running.load(config, set_ or [], store)
        running.say_first(f"{loaded.name}: looking for {model} in the store")
        from flows.export import run_export

        run_export(loaded, model, out, adapter_only, dtype, push_to_hub, public, form, quantize)

    running.guard(work, debug)


@app.command(epilog="Examples:\n\ntad resume\n\ntad resume configs/demo.yaml")
def resume(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file of the run; default: the newest run under runs/.")
    ] = None,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Go on with the newest run that did not come to its end, with the settings it was started with."""

    def work() -> None:
        from flows.resume import newest_unfinished

        loaded = running.load(config, set_ or [], store) if config else None
        found = newest_unfinished(loaded, set_ or [], None if store is None else running.checked_root(store))
        typer.echo(found.told, err=True)
        os.chdir(found.folder)
        running.run(found.config, found.until, found.force, debug)

    running.guard(work, debug)


@app.command(
    "collect-worker",
    epilog=epilog("collect-worker", "tad collect-worker configs/demo.yaml --host 1 --hosts 4"),
)
def collect_worker(
    config: Config,
    host: Annotated[int, typer.Option("--host", min=0, help="Which of the hosts this is.")] = 0,
    hosts: Annotated[int, typer.Option("--hosts", min=1, help="How many hosts take part.")] = 1,
    judge: Annotated[bool, typer.Option(help="Judge here what is decoded here.")] = True,
    set_: Overrides = None,
    store: StoreUrl = None,
    debug: Debug = False,
) -> None:
    """Help with a collection that runs elsewhere on the same store, until no shard is left; closes nothing."""
    running.guard(
        lambda: running.collect_worker(running.load(config, set_ or [], store), host, hosts, judge, debug),
        debug,
    )


@app.command(
    "lm-eval",
    # Everything, --help too, is for lm-eval's own command line.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    epilog="Example:\n\ntad lm-eval --model_args pretrained=assets/tiny-llada,threshold=0.5 --tasks tad_gsm8k "
    "--apply_chat_template --limit 8",
)
def lm_eval(context: typer.Context) -> None:
    """Evaluate a checkpoint on any task of lm-eval, by lm-eval's own command line.

    With --use_cache FILE answers are kept as they are decoded, and a command that was stopped goes on from them.
    """
    from tad_core.evaluation.lm_eval_cli import keeps_answers

    def work() -> None:
        running.say_first("loading torch and lm-eval")
        from tad_core.evaluation.lm_eval_cli import main as lm_eval_main

        lm_eval_main([argument for argument in context.args if argument != "--debug"])

    running.guard(work, "--debug" in context.args, keeps_answers(context.args))


@app.command(
    epilog="Examples:\n\ntad join runs/llada-8b\n\nTAD_NODE_RANK=$SLURM_NODEID tad join /shared/runs/llada-8b"
)
def join(
    folder: Annotated[
        str, typer.Argument(help="Store of the run, on a file system all hosts share.", show_default=False)
    ],
    rank: Annotated[
        int | None,
        typer.Option("--rank", min=1, help="This host's place; default: TAD_NODE_RANK, else any."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one training run.")] = False,
    debug: Debug = False,
) -> None:
    """Lend this host's GPUs to the training runs that another host leads (distill.nodes)."""

    def work() -> None:
        from tad_core.training.join import join as take_part

        take_part(folder, rank, print, once)

    running.guard(work, debug)


app.add_typer(looking)
app.add_typer(serving)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()

"""How a command runs: the configuration, Prefect around the flow, progress on the terminal, errors as one message."""

from __future__ import annotations

import errno
import os
import select
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from flows.environment import spare_loopback
from flows.signals import stop_politely
from tad_core.errors import ConfigError, StoreError, TADError
from tad_core.hub_client import HUB
from tad_core.presence import expect_nothing, gone
from tad_core.signals import asked_to_stop

if TYPE_CHECKING:
    from tad_core.config import TADConfig
    from tad_core.stages.pipeline import Outcome
    from tad_core.study.config import Study

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
#: 128 and SIGPIPE, as a shell has it.
NOBODY_READS = 141
_OUTPUT = 1


def load(path: Path, overrides: list[str], store: str | None) -> TADConfig:
    """Read a configuration; its store becomes absolute, and can be looked into."""
    from tad_core.config import load_config

    config = load_config(path, overrides)
    return config.model_copy(update={"store": checked_root(store or config.store)})


def checked_root(store: str) -> str:
    """A store's root that means the same in every folder, and can be looked into.

    Raises:
        ConfigError, ArtifactError: it cannot.
    """
    from tad_core.artifacts import Store, absolute_root

    root = absolute_root(store)
    Store(root).check_reachable()
    return root


def run_until(
    until: Any, path: Path, overrides: list[str], force: list[Any], store: str | None, debug: bool
) -> None:
    """Run the pipeline of a file up to a stage."""
    config = load(path, overrides, store)
    from tad_core.config import naming_lines

    with naming_lines(path, overrides):
        run(config, until, force, debug)


def run(config: TADConfig, until: Any, force: list[Any], debug: bool) -> None:
    """Check everything, then start Prefect, then show what came out."""
    _say_checking(config)
    from flows.environment import settle

    settle(loud=debug)
    from tad_core.artifacts import Store
    from tad_core.stages.pipeline import check_stages, prepare

    check_stages(force, "--force", until)
    prepare(config, Store(config.store), until, _note)
    outcome = _under_prefect(config, until, force)
    from flows.show import show_outcome

    show_outcome(config, outcome)


def replicate(path: Path, seeds: str, overrides: list[str], store: str | None, debug: bool) -> None:
    """Run once for every seed, then show the comparison."""
    config = load(path, overrides, store)
    _say_checking(config)
    from flows.environment import settle

    settle(loud=debug)
    from tad_core.artifacts import Store
    from tad_core.config import naming_lines
    from tad_core.stages.pipeline import prepare
    from tad_core.stages.replicate import read_seeds

    chosen = read_seeds(seeds)
    with naming_lines(path, overrides):
        prepare(config, Store(config.store), "evaluate", _note)
    with display() as say, prefect_around(say):
        from flows.replicate import replicate_flow

        ref = replicate_flow(config, chosen)
    from flows.show import show_replicates

    show_replicates(config, ref)


def load_study(path: Path, overrides: list[str], store: str | None) -> Study:
    """Read a study; its store becomes absolute."""
    from tad_core.study.config import load_study as load_file

    loaded = load_file(path, overrides, store)
    return loaded.stored(checked_root(loaded.run.store))


def plan_study(path: Path, overrides: list[str], store: str | None) -> None:
    """Say what a study will take."""
    from tad_core.artifacts import Store
    from tad_core.study.outlook import outlook

    loaded = load_study(path, overrides, store)
    for line in outlook(loaded, Store(loaded.run.store)).lines():
        typer.echo(line)


def study(path: Path, overrides: list[str], store: str | None, only_results: bool, debug: bool) -> None:
    """Run a study, or gather what there is of one, then show where its results are."""
    say_first(f"{path}: {'gathering what is finished' if only_results else 'checking the study and its run'}")
    loaded = load_study(path, overrides, store)
    from flows.environment import settle

    settle(loud=debug)
    from tad_core.artifacts import Store
    from tad_core.study.report import report
    from tad_core.study.run import prepare
    from tad_core.study.stage import conclude, look

    place = Store(loaded.run.store)
    if only_results:
        made = look(loaded, place)
        ref = report(loaded, conclude(loaded, made, place), made.trajectories.filtered, place)
    else:
        prepare(loaded, place)
        with display() as say, prefect_around(say):
            from flows.study import study_flow

            ref = study_flow(loaded.config.name, loaded)
    from flows.show import show_study

    show_study(loaded, ref)


def collect_worker(config: TADConfig, host: int, hosts: int, judge: bool, debug: bool) -> None:
    """Take part in a collection until no shard is left."""
    if host >= hosts:
        raise ConfigError(f"--host: {host} is none of --hosts {hosts}; use 0 to {hosts - 1}")
    _say_checking(config)
    from flows.environment import settle

    settle(loud=debug)
    from tad_core.artifacts import Store
    from tad_core.stages.pipeline import prepare

    prepare(config, Store(config.store), "filter" if judge else "collect")
    with display() as say, prefect_around(say):
        from flows.worker import collect_worker_flow

        done = collect_worker_flow(config.model_dump(mode="json"), host, hosts, judge=judge)
    judged = f", and {done['judged']} judged" if judge else ""
    typer.echo(f"{done['shards']} shards were decoded here{judged}; none is left to take")


def pretrain(path: Path, force: bool, debug: bool) -> None:
    """Train a base model, unless its folder has one."""
    say_first(f"{path}: checking the settings")
    from tad_core.pretraining.config import load_pretrain_config

    config = load_pretrain_config(path)
    if not force and any(Path(config.out).glob("*.safetensors")):
        typer.echo(f"{config.out} has a checkpoint already; --force trains it again")
        return
    from flows.environment import settle

    settle(loud=debug)
    with display() as say, prefect_around(say):
        from flows.pretrain import pretrain_flow

        folder = pretrain_flow(config)
    typer.echo(f"checkpoint: {folder}")


def say_first(what: str, watched: bool = False) -> None:
    """A line before the imports and checks that take seconds, more on a busy machine; on stderr.

    Args:
        what: is done first.
        watched: say it only where somebody looks, not into a file.
    """
    if not watched or sys.stderr.isatty():
        typer.echo(what, err=True)


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)


def _say_checking(config: TADConfig) -> None:
    say_first(f"{config.name}: checking data, model, store and this machine")


@contextmanager
def display() -> Iterator[Callable[[str], None]]:
    """Bars or lines on stderr while the flow runs; yields how to say something in between."""
    from tasks.progress import RichSink, terminal_sink, watching

    sink = terminal_sink()
    with sink if isinstance(sink, RichSink) else nullcontext(), watching(sink):
        yield sink.say


def _under_prefect(config: TADConfig, until: Any, force: list[Any]) -> Outcome:
    with display() as say, prefect_around(say):
        from flows.pipeline import pipeline

        return pipeline(config, until, force)


@contextmanager
def prefect_around(say: Callable[[str], None]) -> Iterator[None]:
    """The server that is set, or one of our own."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.environment import check_server, server_errors
    from flows.server import TemporaryServer, still_starting

    url = check_server()
    if url is not None:
        say(f"Prefect: {url}")
        with server_errors(url):
            yield
        return
    say("Prefect: no server is set, starting a temporary one")
    with still_starting(say):
        server = TemporaryServer()
        import flows.pipeline  # noqa: F401 (seconds of imports while the server starts)

        url = server.url()
    with temporary_settings({PREFECT_API_URL: url}), server_errors(url):
        yield


def guard(work: Callable[[], None], debug: bool, keeps: bool = True) -> None:
    """Run a command; turn what it raises into one message and an exit code.

    Args:
        work: the command.
        debug: show tracebacks.
        keeps: whether the same command goes on where it was stopped.
    """
    stop_politely()
    spare_loopback()
    HUB.say = say_first
    expect_nothing()
    try:
        work()
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except BrokenPipeError as error:
        if told := _no_answer(error):
            _fail(error, told, FAILED, debug)
        if not _output_is_closed():
            _unexpected(error, debug)
        raise typer.Exit(NOBODY_READS) from None
    except (KeyboardInterrupt, Exception) as error:  # the outermost boundary: a traceback is for --debug
        if isinstance(error, KeyboardInterrupt) or asked_to_stop():
            again = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            kept = (
                "everything finished so far is kept. To go on"
                if keeps
                else "nothing of it is kept. To begin again"
            )
            forced = any(word == "--force" or word.startswith("--force=") for word in sys.argv)
            how = ", which begins anew what it forces" if keeps and forced else ""
            _fail(error, f"stopped; {kept}, run the same command{how}:\n  {again}", INTERRUPTED, debug)
        if missing := gone():
            _fail(error, missing, StoreError.exit_code, debug)
        if isinstance(error, TADError):
            _fail(error, str(error), error.exit_code, debug)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # wherever a path was asked for
            told = f"{error.filename}: no file or folder has so long a name (255 bytes at most); give another"
            _fail(error, told, ConfigError.exit_code, debug)
        if isinstance(error, OSError) and (told := _no_answer(error)):
            _fail(error, told, FAILED, debug)
        _unexpected(error, debug)


def _no_answer(error: OSError) -> str:
    from tad_core.artifacts.files import no_answer

    return no_answer(error)


def _output_is_closed() -> bool:
    """Whether nobody reads what is printed any more, as behind ``| head``; then nothing is printed from now on."""
    asked = select.poll()
    asked.register(_OUTPUT, 0)
    if not any(state & (select.POLLERR | select.POLLHUP) for _, state in asked.poll(0)):
        return False
    # What is buffered would be tried once more when the interpreter ends, with a complaint.
    os.dup2(os.open(os.devnull, os.O_WRONLY), _OUTPUT)
    return True


def _unexpected(error: BaseException, debug: bool) -> NoReturn:
    message = f"unexpected {type(error).__name__}: {error}\nRun again with --debug for the traceback."
    _fail(error, message, FAILED, debug)


def _fail(error: BaseException, message: str, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exception(error)
    kind = "" if code == INTERRUPTED else "error: "
    typer.echo(f"{kind}{message}", err=True)
    raise typer.Exit(code)

"""``python -m tad_core.study CONFIG``: a study where there is no Prefect, with a line for every task that ends."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from tad_core.artifacts import Store
from tad_core.artifacts.files import no_answer
from tad_core.errors import TADError
from tad_core.presence import gone
from tad_core.progress import Progress
from tad_core.report.markdown import REPORT_NAME
from tad_core.signals import take_over
from tad_core.study.config import load_study
from tad_core.study.hands import hands_of
from tad_core.study.outlook import outlook
from tad_core.study.report import report
from tad_core.study.run import run_study
from tad_core.study.stage import conclude, look

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run or conclude a study; returns 0, 1 (failed), 2 (wrong input) or 130 (stopped)."""
    parser = argparse.ArgumentParser(prog="python -m tad_core.study", description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file, e.g. configs/study-tiny.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="overrides",
                        help="change a setting of the study, e.g. seeds=[0] or set.distill.save_steps=50")  # fmt: skip
    parser.add_argument("--store", help="folder or URL of the artifacts; default: the run's")
    parser.add_argument(
        "--only-results", action="store_true", help="of what is there; train and measure nothing"
    )
    parser.add_argument(
        "--plan", action="store_true", help="say what it will take and what is there; run nothing"
    )
    given = parser.parse_args(arguments)
    # As Ctrl-C: trainings save a checkpoint.
    take_over(signal.SIGTERM, signal.default_int_handler)
    begun = False
    try:
        study = load_study(given.config, given.overrides, given.store)
        store = Store(study.run.store)
        if given.plan:
            print("\n".join(outlook(study, store).lines()))
            return 0
        if not given.only_results:
            say(f"{study.config.name}: {hands_of(study)} processes side by side, store {store.root}")
            begun = True
            run_study(study, store, _Shared(), say)
        made = look(study, store)
        ref = conclude(study, made, store)
        say(f"results: {ref.url}")
        page = report(study, ref, made.trajectories.filtered, store)
        say(f"report: {page.url}/{REPORT_NAME}")
    except TADError as error:
        print(f"error: {gone() or error}", file=sys.stderr)
        if begun:
            print("what is finished: the same command with --only-results", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if not (told := gone() or no_answer(error)):
            raise
        print(f"error: {told}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        # A machine that only trains may lack what draws.
        remedy = "where it is installed, run the same on this store with --only-results"
        print(f"error: the report needs {error.name}; {remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; everything finished so far is kept: run the same command to go on", file=sys.stderr)
        return _INTERRUPTED
    return 0


def say(line: str) -> None:
    """A line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


class _Shared:
    """Says when each of the stages that all variants share begins."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        if progress.stage != "study" and progress.stage not in self._said:
            self._said.add(progress.stage)
            say(progress.stage)


if __name__ == "__main__":
    sys.exit(main())

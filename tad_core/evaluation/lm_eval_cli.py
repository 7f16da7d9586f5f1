"""lm-eval's own command line with the model class ``tad`` and the benchmarks here: ``tad lm-eval …``.

Also ``python -m tad_core.evaluation.lm_eval_cli …``. The arguments are lm-eval's; what is added where it is not
given: ``--model tad``, ``--device auto``, the folder of the benchmarks (tasks ``tad_gsm8k`` …), and examples in one
user turn.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tad_core.errors import ConfigError, DataError, in_a_line
from tad_core.hub_client import HUB, ask_once

if TYPE_CHECKING:  # they load torch
    from tad_core.decoding import Decoded
    from tad_core.evaluation.lm import RequestKey

_BENCHMARKS = Path(__file__).parent / "benchmarks"
_COMMANDS = ("run", "ls", "validate")
#: How lm-eval says that a name is none of a task, or of a model, beside every other ValueError.
_NO_TASKS, _NO_MODEL = "Tasks not found: ", "Attempted to load model "


def main(arguments: Sequence[str]) -> None:
    """Run lm-eval's command line.

    Raises:
        ConfigError: wrong arguments of the model, no such model, or no such task.
        DataError: the rows of a task cannot be read.
        SystemExit: as lm-eval ends, for help and for wrong options.
    """
    from datasets.exceptions import DatasetsError
    from lm_eval.__main__ import cli_evaluate

    from tad_core.evaluation.lm import TadLM  # registers the model class

    ask_once()
    before, TadLM.made = sys.argv, []
    sys.argv = ["tad lm-eval", *completed(arguments)]
    try:
        cli_evaluate()
    except ValueError as error:
        if str(error).startswith(_NO_MODEL):
            name = str(error).removeprefix(_NO_MODEL).partition(", but")[0]
            raise ConfigError(
                f"--model: {name} is no model of lm-eval; leave the option out: LLaDA, Dream and what was distilled of "
                "them are decoded by tad"
            ) from None
        missing = str(error).removeprefix(_NO_TASKS)
        if missing == str(error):
            raise
        raise ConfigError(
            f"--tasks: {missing} is not a task; `tad lm-eval ls tasks` has all of them"
        ) from None
    except (ConnectionError, DatasetsError) as error:
        raise DataError(
            f"--tasks: the rows of a task cannot be read ({HUB.refused or in_a_line(error)}); lm-eval has them from "
            "the hub: check the network, or fetch them on a machine that has one and bring its HF_HOME here "
            "(HF_HUB_OFFLINE=1 keeps to that); a run takes them from a file (evaluate.tasks, option path)"
        ) from error
    finally:
        sys.argv = before
    for model in TadLM.made:
        for line in speeds(model.decoded):
            print(line, flush=True)


def speeds(decoded: Mapping[RequestKey, Decoded]) -> list[str]:
    """A line for each task: tokens a forward and a second, counted as ``evaluation.records.points`` counts them."""
    found: dict[str, list[Decoded]] = {}
    for (task, _, _), one in decoded.items():
        found.setdefault(task, []).append(one)
    lines = []
    for task, ones in found.items():
        tokens, forwards = sum(o.revealed for o in ones), sum(o.forwards for o in ones)
        wall_s = sum(o.wall_s for o in ones)
        computed, full = sum(o.computed for o in ones), sum(o.full_forwards for o in ones)
        lines.append(
            f"{task}: {tokens / max(1, forwards):.2f} tokens a forward, {tokens / max(wall_s, 1e-9):,.1f} tokens a "
            f"second ({len(ones):,} answers, {forwards:,} forwards, {full:,} of them full; "
            f"{computed / max(1, tokens):,.1f} tokens computed a token)"
        )
    return lines


def completed(arguments: Sequence[str]) -> list[str]:
    """lm-eval's arguments with what this project adds to ``run``."""
    given = list(arguments) or ["--help"]
    if given[0] in ("-h", "--help"):
        return given
    if given[0] not in _COMMANDS:
        given.insert(0, "run")
    added: list[str] = []
    if given[0] == "run" and not _has(given, "--model", "-M"):
        added += ["--model", "tad"]
    if given[0] == "run" and not _has(given, "--device", "--config", "-C") and _is_ours(given):
        added += ["--device", "auto"]  # lm-eval's own default is cuda:0, on any machine
    if not _has(given, "--include_path"):
        added += ["--include_path", str(_BENCHMARKS)]
    # lm-eval's command line puts each example into a turn of its own, the paper all of them into one.
    if _has(given, "--apply_chat_template") and not _has(given, "--fewshot_as_multiturn"):
        added += ["--fewshot_as_multiturn", "false"]
    return [given[0], *added, *given[1:]]


def keeps_answers(arguments: Sequence[str]) -> bool:
    """Whether lm-eval is to keep answers in a file of its own, from which the same command goes on."""
    return _has(arguments, "--use_cache", "-c")


def _is_ours(arguments: Sequence[str]) -> bool:
    """Whether the model is this project's, whose devices are ``model.device``'s."""
    if not _has(arguments, "--model", "-M"):
        return True
    return any(
        argument in ("--model=tad", "-M=tad") or (argument in ("--model", "-M") and following == "tad")
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True)
    )


def _has(arguments: Sequence[str], *names: str) -> bool:
    return any(argument.split("=", 1)[0] in names for argument in arguments)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ConfigError, DataError) as error:
        sys.exit(f"error: {error}")

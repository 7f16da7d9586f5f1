"""lm-eval's own command line with the model class ``tad`` and the benchmarks here: ``tad lm-eval …``.

Also ``python -m tad_core.evaluation.lm_eval_cli …``. The arguments are lm-eval's; what is added where it is not
given: ``--model tad``, the folder of the benchmarks (tasks ``tad_gsm8k`` …), and examples in one user turn.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tad_core.errors import ConfigError

_BENCHMARKS = Path(__file__).parent / "benchmarks"
_COMMANDS = ("run", "ls", "validate")


def main(arguments: Sequence[str]) -> None:
    """Run lm-eval's command line.

    Raises:
        ConfigError: wrong arguments of the model.
        SystemExit: as lm-eval ends, for help and for wrong options.
    """
    from lm_eval.__main__ import cli_evaluate

    import tad_core.evaluation.lm  # noqa: F401 (registers the model class)

    before = sys.argv
    sys.argv = ["tad lm-eval", *completed(arguments)]
    try:
        cli_evaluate()
    finally:
        sys.argv = before


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
    if not _has(given, "--include_path"):
        added += ["--include_path", str(_BENCHMARKS)]
    # lm-eval's command line puts each example into a turn of its own, the paper all of them into one.
    if _has(given, "--apply_chat_template") and not _has(given, "--fewshot_as_multiturn"):
        added += ["--fewshot_as_multiturn", "false"]
    return [given[0], *added, *given[1:]]


def _has(arguments: Sequence[str], *names: str) -> bool:
    return any(argument.split("=", 1)[0] in names for argument in arguments)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"error: {error}")

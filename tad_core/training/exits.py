"""What a training process and the one that started it agree on; light enough to import anywhere."""

from __future__ import annotations

import os
import sys

#: a line that begins so tells the parent what went wrong, whatever launcher stands between
ERROR_PREFIX = "TRAINING_ERROR "
#: set by ``launch``: the process is nobody's without the one that started it
CHILD_VARIABLE = "TAD_TRAINING_CHILD"

EXIT_OUT_OF_MEMORY = 3
#: the run was asked to stop and saved a checkpoint first (EX_TEMPFAIL)
EXIT_INTERRUPTED = 75


def say(line: str) -> None:
    """Print a line at once; nobody listening any more is no reason to fail, least of all before a checkpoint."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

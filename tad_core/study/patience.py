"""Second tries in a study, which nobody around it makes: of what died, and of a store that did not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tad_core.errors import NoAnswerError, SubprocessError, in_a_line, may_pass

Result = TypeVar("Result")

#: Tries of what a process died of; the next begins at once.
_TRIES = 2
#: Before each further try of what a store or a disk did not answer, as a run waits for it.
_WAITS_S = (5.0, 10.0, 20.0)
_LOOK_S = 0.2


def patiently(
    work: Callable[[], Result],
    told: str,
    tell: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Do it, and again where what it raised may pass.

    Args:
        work: finds what an earlier try has finished.
        told: what it is, for people.
        tell: told a line before each further try.
        stopped: nothing is tried again then.

    Raises:
        TADError, OSError: the last try's.
    """
    deaths, waits = 0, list(_WAITS_S)
    while True:
        try:
            return work()
        except Exception as error:
            if not may_pass(error) or stopped():
                raise
            if isinstance(error, SubprocessError) and not isinstance(error, NoAnswerError):
                deaths, wait_s = deaths + 1, 0.0
                if deaths == _TRIES:
                    raise
            elif waits:
                wait_s = waits.pop(0)
            else:
                raise
            tell(f"once more: {told}: {in_a_line(error)}")
            if not _waited(wait_s, stopped):
                raise


def _waited(seconds: float, stopped: Callable[[], bool]) -> bool:
    """False if it was stopped meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stopped():
            return False
        time.sleep(_LOOK_S)
    return True

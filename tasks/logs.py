"""The output of child processes in Prefect's log: in order, and little of it, since each line costs the server."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable

from prefect import get_run_logger
from prefect.exceptions import MissingContextError

#: One line in so many goes to Prefect; training keeps all of its own in ``train.log``.
EVERY_LINES = 20
#: Lines that look alarming go there all, until there were this many.
MOST_ALARMS = 200
_ALARMING = re.compile(r"error|warning|traceback|out of memory|\bnan\b|\bkilled\b", re.IGNORECASE)


def forward_lines(every: int = EVERY_LINES, most: int = MOST_ALARMS) -> Callable[[str], None]:
    """A listener that hands every ``every``-th line and whatever looks alarming to the run's log.

    It may be called from any thread: the log is that of the flow or task in which it was made.
    """
    try:
        log: logging.Logger | logging.LoggerAdapter[logging.Logger] = get_run_logger()
    except MissingContextError:
        log = logging.getLogger(__name__)
    count = alarms = 0
    lock = threading.Lock()

    def forward(line: str) -> None:
        nonlocal count, alarms
        with lock:  # so that lines arrive in the order in which they came
            alarming = alarms < most and _ALARMING.search(line) is not None
            alarms += alarming
            if alarming or count % every == 0:
                log.log(logging.WARNING if alarming else logging.INFO, "%s", line.rstrip())
            if alarming and alarms == most:
                log.warning("%d alarming lines so far: of those that follow, one in %d is shown", most, every)
            count += 1

    return forward

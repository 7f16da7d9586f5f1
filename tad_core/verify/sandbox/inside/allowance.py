"""How long work may take: the CPU time it uses decides, and the clock bounds what rests.

By the clock alone a busy machine would fail what is right and small. So whoever computes may wait for a core
``CROWD`` times as long as it computes, and only what neither computes nor waits for that uses up the rest.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Iterable

#: On a busy machine a process may need this many times its CPU time by the clock.
CROWD = 20.0
#: How often the CPU clocks are read, in ms.
_LOOK_MS = 100.0
#: Which clock of a process, as the kernel encodes it beside the process id.
_PROCESS_CPU = 2


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used until now, all its threads; 0 once it has ended."""
    try:
        return time.clock_gettime((~pid << 3) | _PROCESS_CPU)
    except OSError:
        return 0.0


def longest_s(cpu_s: float, rest_s: float, processes: int) -> float:
    """Seconds by the clock after which no allowance of these figures can be left."""
    return rest_s + CROWD * cpu_s * processes


class Allowance:
    """What a few processes may use from now on.

    Args:
        pids: the processes.
        cpu_s: CPU seconds of each.
        rest_s: seconds by the clock of all together, beside ``CROWD`` times the CPU time that they use.
    """

    def __init__(self, pids: Iterable[int], cpu_s: float, rest_s: float) -> None:
        self.cpu_s, self._rest_s = cpu_s, rest_s
        self._began = time.monotonic()
        self._before = {pid: cpu_of(pid) for pid in pids}
        self._used = dict.fromkeys(self._before, 0.0)

    def afresh(self, rest_s: float) -> Allowance:
        """One for the same processes that bounds their rest alone, from now on."""
        return Allowance(self._before, math.inf, rest_s)

    def computed_too_long(self) -> bool:
        """Whether one of them has used up its CPU time."""
        self._read()
        return any(used > self.cpu_s for used in self._used.values())

    def rested_too_long(self) -> bool:
        """Whether the time by the clock has run out."""
        return time.monotonic() >= self.deadline()

    def deadline(self) -> float:
        """When the time by the clock runs out unless more is computed, as a reading of ``time.monotonic()``."""
        self._read()
        return self._began + self._rest_s + CROWD * sum(self._used.values())

    def look_ms(self) -> float:
        """How long to wait before the next look at it, in ms."""
        return min(_LOOK_MS, max(0.0, (self.deadline() - time.monotonic()) * 1000))

    def wait_for(self, fd: int) -> bool:
        """Wait until ``fd`` can be read; False if one of the limits is reached first."""
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while not poller.poll(self.look_ms()):
            if self.computed_too_long() or self.rested_too_long():
                return False
        return True

    def _read(self) -> None:
        for pid, before in self._before.items():
            self._used[pid] = max(self._used[pid], cpu_of(pid) - before)  # nothing is told of what has ended

"""By how much this host's clock differs from a store's, which all hosts that use the store have in common.

Claims count by time. Of a host whose clock is behind by more than a claim lasts every claim would look as if it had run
out, and what it has in hand be made once more by others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tad_core.artifacts.files import absolute_root

#: less is how long a file takes to be written, or how roughly a store tells times
_LEAST_S = 5.0
#: Unix time before which no file was written: the store gives none
_EARLIEST = 1.6e9

_AHEAD_S: dict[str, float] = {}


def ahead_s(url: str) -> float:
    """How far the clock of the store in which a folder is was ahead of this host's when that was measured, in seconds;
    0 where the two agree or nobody has measured."""
    place = absolute_root(url)
    return next((by for root, by in list(_AHEAD_S.items()) if f"{place}/".startswith(f"{root}/")), 0.0)


def is_known(root: str) -> bool:
    """Whether this process has measured a store's clock."""
    return absolute_root(root) in _AHEAD_S


@contextmanager
def measured(root: str, written_at: Callable[[], float | None]) -> Iterator[None]:
    """Inside, a file is written; ``written_at`` asks the store when that was (Unix time), None if it does not say."""
    before = time.time()
    yield
    after, at = time.time(), written_at()
    by = 0.0
    if at is not None and at > _EARLIEST:
        by = max(at - after, 0.0) + min(at - before, 0.0)
    _AHEAD_S[absolute_root(root)] = by if abs(by) > _LEAST_S else 0.0


def note(root: str) -> str:
    """What to tell of a clock that differs; empty where it does not."""
    by = ahead_s(root)
    if not by:
        return ""
    where = "behind" if by > 0 else "ahead of"
    return (
        f"the clock of this machine is {abs(by):.0f} s {where} the one of the store {root}: "
        "claims go by the store's, but times in logs and records do not; set the clock"
    )

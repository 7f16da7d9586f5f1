"""Batches that fit: where device memory does not hold one, it is halved and the work goes on.

For work whose result does not depend on its batches: only the speed changes.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

from tad_core.errors import OutOfMemoryError

Result = TypeVar("Result")

#: how a RuntimeError says it
_SIGNS = ("out of memory", "_STATUS_ALLOC_FAILED", "can't allocate memory")
_ROOM = "use a GPU with more memory, or end what else is on it"


@cache
def tell(message: str) -> None:
    """Say it once a process, however many batches and tasks it is true of."""
    logging.getLogger(__name__).warning(message)


class Fitting:
    """The most rows that memory was found to hold; nothing is known at first.

    Kept for as long as the model is: what did not fit once is not tried again with every batch.
    """

    def __init__(self, field: str, remedy: str, say: Callable[[str], None] = tell) -> None:
        """Nothing is known of the memory yet.

        Args:
            field: the setting that says how many rows go at once.
            remedy: what to do where one is too many.
            say: is told where a batch was too large.
        """
        self._field, self._remedy, self._say = field, remedy, say
        self._most: int | None = None

    def of(self, wanted: int) -> int:
        """``wanted`` rows, or as many of them as fit."""
        return wanted if self._most is None else min(wanted, self._most)

    def attempt(self, rows: int, what: str, work: Callable[[], Result]) -> Result | None:
        """The result of ``work``, or None where memory ran out: then it is to be done again with ``of(rows)`` rows.

        Args:
            rows: that ``work`` takes at once.
            what: they are, for the message where there is only one.
            work: leaves nothing behind where it fails.

        Raises:
            OutOfMemoryError: not even one row fits.
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            said = first_line(error)
            if rows == 1:
                raise OutOfMemoryError(
                    f"{self._field}: the memory of the device does not hold even one at once, {what} ({said}); "
                    f"{_ROOM}, {self._remedy}"
                ) from None
        # Only here, outside of the handler, are the tensors free that the frames of the failed attempt held.
        self._most = rows // 2
        self._say(
            f"warning: {self._field}: the memory of the device does not hold {rows} at once; going on with "
            f"{self._most}, which changes the speed only"
        )
        return None


def first_line(error: BaseException) -> str:
    """What it says, in short; Python's own error of memory says nothing."""
    return next(iter(str(error).splitlines()), "") or "the memory of the host is exhausted"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left: torch's own error, that of a call of CUDA beside its allocator, of a library of
    NVIDIA that wanted its workspace, or of the host's allocator."""
    if isinstance(error, OSError):  # mapping a file needs memory, too
        return error.errno == errno.ENOMEM
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
    )

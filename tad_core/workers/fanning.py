"""Pieces side by side: the next is asked for only when a hand is free."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from tad_core.errors import LAST_ERRORS, TADError

Piece = TypeVar("Piece")
Made = TypeVar("Made")

#: Between two looks for a piece, while others work on all that are left; and at whether a signal has come, which the
#: system may hand to another thread: that wakes nobody who waits without an end.
_LOOK_S = 0.5


def fan_out(
    pieces: Iterable[Piece | None],
    make: Callable[[Piece], Made],
    at_once: int,
    stop: Callable[[], None] = lambda: None,
    last: tuple[type[TADError], ...] = LAST_ERRORS,
) -> Iterator[tuple[Piece, Made]]:
    """All pieces, yielded as they finish; a failure is raised once its siblings have ended.

    No more pieces are asked for after a failure of the kinds ``last``: no worker is left, say, or no room for what they
    make. Where ``pieces`` itself fails, what is being made is finished.

    Args:
        pieces: asked for the next only when a thread is free; None means that there is none now.
        make: makes one, in a thread.
        at_once: threads.
        stop: lets what is being made end at once: where this is interrupted, or nobody takes the results any more.
        last: failures after which no other piece can be made either.
    """
    failures: list[BaseException] = []
    pending: dict[Future[Made], Piece] = {}
    source, more = iter(pieces), True
    with ThreadPoolExecutor(at_once) as threads:
        try:
            while True:
                while more and len(pending) < at_once:
                    try:
                        piece = next(source)
                    except StopIteration:
                        more = False
                        break
                    if piece is None:
                        break
                    pending[threads.submit(make, piece)] = piece
                if not pending:
                    if not more:
                        break
                    time.sleep(_LOOK_S)
                    continue
                finished, _ = wait(pending, _LOOK_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    piece = pending.pop(future)
                    error = future.exception()
                    if error is None:
                        yield piece, future.result()
                    elif isinstance(error, Exception):
                        failures.append(error)
                        more = more and not isinstance(error, last)
                    else:
                        raise error
        except BaseException as error:
            # What has not begun must not begin.
            for future in pending:
                future.cancel()
            if not isinstance(error, Exception):
                stop()
            raise
    if failures:
        raise failures[0]

"""What the host can know of a coming forward before it has read how the last one ended.

A small forward takes a GPU about as long as its host needs to read the last one's outcome and to prepare the next. If
its number of tokens is guessed, most of it can run in the meantime; a guess that is too low costs a forward that nobody
reads, one that is too high some rows that nobody reads.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Share of right guesses from which guessing pays: a small forward takes ten times what the host takes between two.
WORTH = 0.9
#: Weight of the latest guess in that share.
_LATEST = 1 / 32


class Guess:
    """Tokens of the next forward: of each slot all where a refresh is due, otherwise as many as last time."""

    def __init__(self, slots: int, cached: bool) -> None:
        """For so many slots, with a cache or without."""
        self._cached = cached
        self._some: list[int | None] = [None] * slots
        self._since = [0] * slots
        self._right = 1.0

    @property
    def pays(self) -> bool:
        """Whether guesses are right often enough."""
        return self._right >= WORTH

    def ran(self, computed: Sequence[int], totals: Sequence[int]) -> None:
        """Tokens that a forward computes of each slot, and all that each has."""
        for b, (count, total) in enumerate(zip(computed, totals, strict=True)):
            self._since[b] = 1 if count == total else self._since[b] + 1
            if count < total:
                self._some[b] = count

    def tokens(self, totals: Sequence[int], every: Sequence[int]) -> int | None:
        """Of the forward after it; None while nothing is known.

        Args:
            totals: tokens of each slot's sample; 0 where there is none.
            every: forwards after which each is refreshed; 0 where that is decided otherwise.
        """
        found = 0
        for b, (total, period) in enumerate(zip(totals, every, strict=True)):
            some = self._some[b]
            if not self._cached or (period and self._since[b] >= period):
                found += total
            elif total and some is None:
                return None
            elif total and some is not None:
                found += min(some, total)
        return found or None

    def was(self, right: bool) -> None:
        """Whether a guess was high enough."""
        self._right += _LATEST * (right - self._right)

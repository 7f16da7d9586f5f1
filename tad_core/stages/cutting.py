"""How work is cut into pieces that are made, claimed and verified one by one: fixed ranges of an ordered list.

A piece that is in the store keeps its bounds, whatever size is asked for today: only what is left open is cut anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

#: first and one behind the last
Bounds = tuple[int, int]

_NAME = re.compile(r"^(?P<kind>.+)-(?P<start>\d{5,})-(?P<stop>\d{5,})\.json$")


def piece_name(kind: str, bounds: Bounds) -> str:
    """Name of a piece's files, without suffix: what it is a piece of, and which range."""
    return f"{kind}-{bounds[0]:05d}-{bounds[1]:05d}"


def bounds_of(manifests: Iterable[str], kind: str) -> list[Bounds]:
    """The ranges of the manifests that are pieces of one kind, in order; of one start the longest first."""
    found = [match for name in manifests if (match := _NAME.match(name)) and match["kind"] == kind]
    return sorted(((int(m["start"]), int(m["stop"])) for m in found), key=lambda b: (b[0], -b[1]))


def cut(count: int, size: int) -> list[Bounds]:
    """All of ``count``, cut at every multiple of ``size``."""
    return _fill([], count, size)


def cut_around(
    there: Sequence[Bounds], count: int, size: int, whole: Callable[[Sequence[Bounds]], list[Bounds]]
) -> list[Bounds]:
    """All of ``count``: the pieces that are there and verify as they are, the gaps cut at multiples of ``size``.

    Whoever does this again later, while pieces of the result are being finished, gets the same: a new piece fills a gap
    or a part of one, and the parts end where they ended before.

    Args:
        there: see ``bounds_of``.
        count: of what is cut.
        size: of a piece.
        whole: those of some pieces that verify; not asked where no piece is of another size.
    """
    planned = cut(count, size)
    if set(there) <= set(planned):
        return planned
    return _fill(_side_by_side(whole([b for b in there if b[1] <= count])), count, size)


def _side_by_side(bounds: Sequence[Bounds]) -> list[Bounds]:
    """Those of the ranges that do not overlap with one taken before, from left to right."""
    taken: list[Bounds] = []
    for start, stop in bounds:
        if start >= (taken[-1][1] if taken else 0) and stop > start:
            taken.append((start, stop))
    return taken


def _fill(taken: Sequence[Bounds], count: int, size: int) -> list[Bounds]:
    """``taken`` and the gaps between, these cut at every multiple of ``size``."""
    out: list[Bounds] = []
    at = 0
    for start, stop in (*taken, (count, count)):
        while at < start:
            end = min((at // size + 1) * size, start)
            out.append((at, end))
            at = end
        if stop > start:
            out.append((start, stop))
        at = stop
    return out

"""From what a source yields to the problems of a run.

A row that cannot be used is no error: it is counted by reason, with the first few places named. A run starts
only if enough is left; that is one error, which names every reason.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from typing import Any, NamedTuple

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.errors import DataError
from tad_core.rng import key

OVER_LONG = "over-long prompt"
DUPLICATE_ID = "duplicate id"
DUPLICATE_PROBLEM = "duplicate problem"

#: Share of what was asked for that must be usable, where ``min_count`` says nothing else.
ENOUGH = 0.9
#: Places named for each reason.
EXAMPLES = 5
_LEAST_BATCH = 64
_BATCH = 8192

Check = Callable[[Sequence[Problem]], Sequence[str]]
"""Says for each problem why it cannot be used; an empty text if it can."""


@dataclass(frozen=True)
class LeftOut:
    """A row that cannot be used.

    Attributes:
        reason: one of a few, e.g. ``"missing answer"``; rows are counted by it.
        where: the row, e.g. ``"math_train.jsonl:5342"``.
    """

    reason: str
    where: str


@dataclass(frozen=True)
class Candidate:
    """A row of which only the id is known yet: out of hundreds of thousands, few may be wanted.

    Attributes:
        id: of the problem it may be.
        make: what it is; None if it belongs to another split.
        where: the row, as in ``LeftOut``.
    """

    id: str
    make: Callable[[], Problem | LeftOut | None]
    where: str = ""


Item = Problem | LeftOut | Candidate


@dataclass
class Selection:
    """The problems taken from one source, and what was left out on the way to them.

    Attributes:
        problems: in order.
        left_out: rows by reason.
        examples: the first places of each reason.
        places: the row of every id, in words: of the problems, and of more that were looked at.
    """

    problems: list[Problem] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows looked at."""
        return len(self.problems) + sum(self.left_out.values())

    def leave_out(self, reason: str, where: str) -> None:
        """Count one row."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        if len(places := self.examples.setdefault(reason, [])) < EXAMPLES:
            places.append(where)


@dataclass(frozen=True)
class Loaded:
    """The problems of all sources, and per source the rows left out by reason, with the first places."""

    problems: list[Problem]
    left_out: dict[str, dict[str, int]]
    examples: dict[str, dict[str, list[str]]]


class LeftOutRow(NamedTuple):
    """A line of the table of what was left out."""

    source: str
    reason: str
    rows: int
    examples: str


def left_out_rows(info: Mapping[str, Any]) -> list[LeftOutRow]:
    """The table of what was left out, from the ``info`` of a manifest; the most frequent reason first."""
    rows: list[LeftOutRow] = []
    for source, reasons in info.get("left_out", {}).items():
        examples = info.get("left_out_examples", {}).get(source, {})
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            rows.append(LeftOutRow(source, reason, int(count), ", ".join(examples.get(reason, []))))
    return rows


def select(
    source: SourceConfig,
    read: Callable[[], Iterable[Item]],
    check: Check | None = None,
    enough: float = ENOUGH,
    seen: dict[bytes, str] | None = None,
) -> Selection:
    """Take ``source.count`` usable problems, or all.

    Args:
        source: how many, which, and how many at least.
        read: gives what the source yields, in its order; called again only where a random sample has too few.
        check: why a problem cannot be used although its row is right.
        enough: share of what was asked for that must be usable; ``source.min_count`` overrules it.
        seen: contents taken from other sources, which are duplicates here, and where; those of this one are added.

    Raises:
        DataError: fewer rows than ``count``, or too few that can be used.
    """
    found = Selection()
    items = _sampled(read, source) if source.sample == "random" else iter(read())
    usable = _distinct(_made(items), source.name, found, {} if seen is None else seen)
    while source.count is None or len(found.problems) < source.count:
        missing = _BATCH if source.count is None else max(_LEAST_BATCH, source.count - len(found.problems))
        batch = list(islice(usable, missing))
        if not batch:
            break
        _take(batch, check, source.count, found)
    _require(source, found, enough)
    return found


def _sampled(read: Callable[[], Iterable[Item]], source: SourceConfig) -> Iterator[Item]:
    """The items in an order of their own: by a key, so that other rows may come and go, and more are those plus others.

    With a ``count`` only about twice as many are held at a time.
    """
    keep = None if source.count is None else 2 * source.count + _LEAST_BATCH
    given = 0
    while True:
        bad: list[LeftOut] = []
        keyed = _keyed(read(), source.seed, bad)
        order = sorted(keyed) if keep is None else nsmallest(keep, keyed)
        if not given:
            yield from bad
        yield from (item for _, _, item in order[given:])
        if keep is None or len(order) < keep:
            return
        given, keep = keep, 4 * keep


def _keyed(
    items: Iterable[Item], seed: int, bad: list[LeftOut]
) -> Iterator[tuple[int, int, Problem | Candidate]]:
    """Key, number and item; rows that are none go to ``bad``."""
    for number, item in enumerate(items):
        if isinstance(item, LeftOut):
            bad.append(item)
        else:
            yield key("sample", seed, item.id), number, item


def _made(items: Iterator[Item]) -> Iterator[tuple[Problem | LeftOut, str]]:
    """What each item is, and its row as far as it is known."""
    for item in items:
        made = item.make() if isinstance(item, Candidate) else item
        if made is not None:
            yield made, item.where if isinstance(item, Candidate) else ""


def _distinct(
    items: Iterable[tuple[Problem | LeftOut, str]], label: str, found: Selection, seen: dict[bytes, str]
) -> Iterator[Problem]:
    for item, where in items:
        if isinstance(item, LeftOut):
            found.leave_out(item.reason, item.where)
            continue
        place, content = where or item.id, _content(item)
        if item.id in found.places:
            found.leave_out(DUPLICATE_ID, f"{place} and {found.places[item.id]}: {item.id}")
        elif content in seen:
            found.leave_out(DUPLICATE_PROBLEM, f"{place} and {seen[content]}")
        else:
            found.places[item.id] = place
            seen[content] = f"{place} of {label}"
            yield item


def _content(problem: Problem) -> bytes:
    """Equal for two rows that are the same problem with the same solution, whatever they are called."""
    parts = (problem.kind, problem.question.strip(), problem.reference.strip(), problem.answer, problem.tests)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:16]


def _take(batch: Sequence[Problem], check: Check | None, count: int | None, found: Selection) -> None:
    reasons = check(batch) if check is not None else [""] * len(batch)
    for problem, reason in zip(batch, reasons, strict=True):
        if len(found.problems) == count:
            return
        if reason:
            found.leave_out(reason, problem.id)
        else:
            found.problems.append(problem)


def _require(source: SourceConfig, found: Selection, enough: float) -> None:
    share = source.options.get("heldout_share")
    if found.rows == 0 and share:
        raise DataError(
            f"data source {source.name}: none of its rows is of split {source.split}: heldout_share {share} keeps "
            "about that share of all questions apart, by a hash of each, and of few it may be none; give more rows"
            + (
                ", a larger heldout_share, or a file of them as heldout_path"
                if source.split == "heldout"
                else ""
            )
        )
    if found.rows == 0:
        raise DataError(f"data source {source.name}: it is empty; give a source with at least one problem")
    if source.min_count is None and source.count is not None and found.rows < source.count:
        has, mend = f"{found.rows} problems", ""
        if found.left_out:  # there may be more behind what is broken
            has, mend = f"{found.rows} rows, of which are left out: {_reasons(found)},", "mend the data, "
        raise DataError(
            f"data source {source.name}: it has {has} and count is {source.count}; {mend}lower count, or leave it out "
            "to take all"
        )
    wanted = found.rows if source.count is None else source.count
    need = source.min_count or max(1, math.ceil(enough * wanted))
    if len(found.problems) >= need:
        return
    mapped = source.source in ("table", "jsonl") and any(
        reason.startswith("no column") for reason in found.left_out
    )
    columns = "say by the source's options which column is what (docs/data.md), " if mapped else ""
    raise DataError(
        f"data source {source.name}: {len(found.problems)} of {found.rows} rows can be used and at least {need} are "
        f"needed; left out: {_reasons(found)}; {columns}mend the data, or set min_count to what is enough"
    )


def _reasons(found: Selection) -> str:
    ordered = sorted(found.left_out.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{reason} {n} ({', '.join(found.examples[reason])})" for reason, n in ordered) or "none"

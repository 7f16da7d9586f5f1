"""Data sources: each is one small file with a ``load(SourceConfig)`` that yields problems and rows left out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

from tad_core.config import SourceConfig
from tad_core.data.formats import FORMATS
from tad_core.data.problem import Problem
from tad_core.data.rows import Place, stamps
from tad_core.data.selection import ENOUGH, Check, Item, Loaded, Selection, select
from tad_core.data.sources import arithmetic, gsm8k, jsonl, kodcode, math, pyfunc, table
from tad_core.errors import ConfigError, DataError

SOURCES: dict[str, Callable[[SourceConfig], Iterable[Item]]] = {
    "gsm8k": gsm8k.load,
    "math": math.load,
    "kodcode": kodcode.load,
    "table": table.load,
    "jsonl": jsonl.load,
    "arithmetic": arithmetic.load,
    "pyfunc": pyfunc.load,
}


def load_source(source: SourceConfig, check: Check | None = None, enough: float = ENOUGH) -> list[Problem]:
    """The problems of one source, in a stable order.

    Args:
        source: which, and how many.
        check: why a problem cannot be used although its row is right (over-long prompts).
        enough: share of what was asked for that must be usable, where ``min_count`` is not set.

    Raises:
        ConfigError: unknown source or option.
        DataError: missing file, empty data set, too little that can be used.
    """
    return select_from(source, check, enough).problems


def select_from(
    source: SourceConfig,
    check: Check | None = None,
    enough: float = ENOUGH,
    seen: dict[bytes, str] | None = None,
) -> Selection:
    """``load_source`` with what was left out; see ``selection.select``."""
    if source.source not in SOURCES:
        near = difflib.get_close_matches(source.source, SOURCES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SOURCES)}"
        if f".{source.source}" in FORMATS:
            hint = f"table reads files of .{source.source}"
        raise ConfigError(f"data source {source.name}: source {source.source!r} is not known; {hint}")
    return select(source, lambda: SOURCES[source.source](source), check, enough, seen)


def load_problems(sources: Sequence[SourceConfig]) -> list[Problem]:
    """The usable problems of all sources, one after the other.

    Args:
        sources: names, readers, counts, options.

    Raises:
        ConfigError: an unknown source or option.
        DataError: a file that cannot be read, too few usable rows, or an id of two sources.
    """
    return load_all(sources).problems


def load_all(sources: Sequence[SourceConfig], check: Check | None = None, enough: float = ENOUGH) -> Loaded:
    """All sources one after the other, with what was left out of each.

    A problem that an earlier source has already given, with the same solution, is a duplicate in a later one.

    Raises:
        ConfigError, DataError: see ``load_source``; also if problems of two sources share an id.
    """
    loaded = Loaded([], {}, {})
    seen: dict[bytes, str] = {}
    places: dict[str, str] = {}
    for source in sources:
        found = select_from(source, check, enough, seen)
        for problem in found.problems:
            place = f"{found.places[problem.id]} of source {source.name}"
            if problem.id in places:
                raise DataError(
                    f"data: {place} and {places[problem.id]} both have the id {problem.id!r}; give one of the two "
                    "sources another name, which begins its ids, or the row another id"
                )
            places[problem.id] = place
        loaded.problems.extend(found.problems)
        loaded.left_out[source.name] = found.left_out
        loaded.examples[source.name] = found.examples
    return loaded


def source_stamps(sources: Sequence[SourceConfig]) -> list[tuple[str, int, str]]:
    """Name, size and time of every local file that is named: while they stay, so do the problems."""
    found = []
    for source in sources:
        for option in ("path", "heldout_path"):
            value = source.options.get(option, [])
            paths = tuple(map(str, value if isinstance(value, list) else [value]))
            try:
                found += stamps(Place(source.name, paths))
            except DataError:  # not there: reading says so if it is needed
                continue
    return found

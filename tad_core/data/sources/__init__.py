"""Data sources: each is one small file with a ``load(SourceConfig) -> list[Problem]``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.sources import arithmetic, jsonl, pyfunc
from tad_core.errors import ConfigError, DataError

SOURCES: dict[str, Callable[[SourceConfig], list[Problem]]] = {
    "arithmetic": arithmetic.load,
    "pyfunc": pyfunc.load,
    "jsonl": jsonl.load,
}


def load_source(source: SourceConfig) -> list[Problem]:
    """The problems of one source, in a stable order.

    Raises:
        ConfigError: unknown source or option.
        DataError: missing file, empty data set, malformed rows.
    """
    if source.source not in SOURCES:
        near = difflib.get_close_matches(source.source, SOURCES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SOURCES)}"
        raise ConfigError(f"data source {source.name}: source {source.source!r} is not known; {hint}")
    problems = SOURCES[source.source](source)
    if not problems:
        raise DataError(f"data source {source.name}: it is empty; give a source with at least one problem")
    return problems


def load_problems(sources: Sequence[SourceConfig]) -> list[Problem]:
    """All sources one after the other.

    Raises:
        DataError: if two problems share an id.
    """
    problems = [problem for source in sources for problem in load_source(source)]
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"data: two problems have the id {problem.id!r}; ids must be unique")
        seen.add(problem.id)
    return problems

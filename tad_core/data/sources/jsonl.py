"""A JSON-lines file with a column mapping: ``table`` with shorter ids and that one format."""

from __future__ import annotations

from collections.abc import Iterator

from tad_core.config import SourceConfig
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources import table


def load(source: SourceConfig) -> Iterator[LeftOut | Candidate]:
    """Options: see ``table``. An id is the name of the source and the number of the line, or the ``id`` column."""
    lines = source.model_copy(update={"options": {"format": ".jsonl", **source.options}})
    return table.load(lines, prefix=f"{source.name}/")

"""A JSON-lines file with a column mapping: ``table`` with shorter ids and that one format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.selection import LeftOut
from tad_core.data.sources import table


def load(source: SourceConfig) -> Iterator[Problem | LeftOut]:
    """Options: see ``table``. An id is the name of the source and the number of the line, or the ``id`` column."""
    lines = source.model_copy(update={"options": {"format": ".jsonl", **source.options}})
    prefix = f"{source.name}/{source.split}/"
    for item in table.load(lines):
        yield (
            item
            if isinstance(item, LeftOut)
            else replace(item, id=f"{source.name}/{item.id.removeprefix(prefix)}")
        )

"""A JSON-lines file with a column mapping: ``table`` with shorter ids and that one format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tad_core.config import SourceConfig
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources import table
from tad_core.errors import ConfigError

#: Suffixes that say another format; any other may be one of JSON lines.
_OTHERS = (".csv", ".tsv", ".parquet")


def load(source: SourceConfig) -> Iterator[LeftOut | Candidate]:
    """Options: see ``table``. An id is the name of the source and the number of the line, or the ``id`` column."""
    wrong = [path for path in _paths(source) if Path(path).suffix in _OTHERS]
    if wrong and "format" not in source.options:
        raise ConfigError(
            f"data source {source.name}: option path: {wrong[0]!r} is not a file of JSON lines; use source: table, "
            "which reads it with the same options"
        )
    lines = source.model_copy(update={"options": {"format": ".jsonl", **source.options}})
    return table.load(lines, prefix=f"{source.name}/")


def _paths(source: SourceConfig) -> list[str]:
    given = [source.options.get(name) for name in ("path", "heldout_path")]
    listed = [path for one in given for path in (one if isinstance(one, list) else [one])]
    return [path for path in listed if isinstance(path, str)]

"""The one neutral form of a table, and what it is in Markdown; ``html`` and ``terminal`` render it, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: An entry that is not known.
NONE = "–"
#: Columns that are text wherever they stand.
_TEXT_COLUMNS = ("Rejected", "How it was chosen", "In AUP", "Prompt", "Source")


@dataclass(frozen=True)
class Cell:
    """One entry: its text, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One row; ``model`` colours its first cell, ``starts_group`` draws a rule above it."""

    cells: list[Cell]
    model: str = ""
    starts_group: bool = False


@dataclass(frozen=True)
class Table:
    """A table; ``left`` says how many leading columns are text, ``model_column`` where a model is named."""

    title: str
    columns: list[str]
    rows: list[Row]
    left: int = 1
    notes: list[str] = field(default_factory=list)
    model_column: int = 0


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured Markdown table; hostile text cannot break out of its cell."""
    align = ["---" if is_text(table, i) else "---:" for i in range(len(table.columns))]
    lines = [_line([escape_markdown(c) for c in table.columns]), _line(align)]
    for row in table.rows:
        cells = [escape_markdown(c.text) for c in row.cells]
        lines.append(_line([f"**{t}**" if c.best else t for t, c in zip(cells, row.cells, strict=True)]))
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def is_text(table: Table, column: int) -> bool:
    """Whether a column is set flush left."""
    return column < table.left or table.columns[column] in _TEXT_COLUMNS


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape_markdown(text: str) -> str:
    """Text that Markdown and the HTML inside it show as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for char in "\\`*_[]|#":
        text = text.replace(char, f"\\{char}")
    return " ".join(text.split())

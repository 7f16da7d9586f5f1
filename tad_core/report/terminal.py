"""A table of numbers in a terminal of any width: names are folded, columns go on below, and nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from tad_core.report.lineup import Lineup
from tad_core.report.table import Table, is_text

#: characters that a column of text keeps at the least, if it has as many
_LEAST = 12


class FittedTable:
    """A table as wide as the terminal lets it be.

    Where it is too wide, first the names of columns of numbers are broken between words, those first that save most;
    then text is folded; then columns that do not fit follow in tables of their own below, each beginning with the
    columns that say what a row is of; a number with its interval that does not fit even so is folded between them.
    """

    def __init__(self, table: Table, lineup: Lineup) -> None:
        self._table, self._lineup = table, lineup

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width

        def least(columns: Sequence[int], names: Sequence[str]) -> int:
            return Measurement.get(console, options.update_width(1000), self._made(columns, names)).minimum

        def most(columns: Sequence[int], names: Sequence[str]) -> int:
            return Measurement.get(console, options.update_width(1000), self._made(columns, names)).maximum

        everything, names = list(range(len(self._table.columns))), list(self._table.columns)
        for column in self._breakable():
            if most(everything, names) <= room:
                break
            names[column] = self._broken(column)
        leading = everything[: self._table.left]
        parts: list[list[int]] = [[]]
        for column in everything[self._table.left :]:
            if parts[-1] and least([*leading, *parts[-1], column], names) > room:
                parts.append([])
            parts[-1].append(column)
        for i, part in enumerate(parts):
            columns = [*leading, *part]
            title = "" if i else self._table.title
            yield self._made(columns, names, title, folds=least(columns, names) > room)

    def _breakable(self) -> list[int]:
        """The columns of numbers whose names are wider than they need be, those first that save most."""
        saved = {
            i: len(name) - max(self._width(i), *map(len, self._broken(i).split("\n")))
            for i, name in enumerate(self._table.columns)
            if not is_text(self._table, i)
        }
        return sorted((i for i, n in saved.items() if n), key=lambda i: -saved[i])

    def _broken(self, column: int) -> str:
        """A column's name in lines as wide as what stands below it, or as its longest word."""
        words = self._table.columns[column].split()
        width = max(self._width(column), *map(len, words))
        lines = [""]
        for word in words:
            if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
                lines.append(word)
            else:
                lines[-1] = f"{lines[-1]} {word}".strip()
        return "\n".join(lines)

    def _width(self, column: int) -> int:
        return max((len(row.cells[column].text) for row in self._table.rows), default=0)

    def _made(
        self, columns: Sequence[int], names: Sequence[str], title: str = "", folds: bool = False
    ) -> RichTable:
        table = self._table
        out = RichTable(
            title=title or None,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            padding=(0, 1, 0, 0),
        )
        for i in columns:
            text = is_text(table, i)
            least = None if folds else self._width(i)
            out.add_column(
                Text(names[i]),
                justify="left" if text else "right",
                no_wrap=not (text or folds),
                overflow="fold",
                min_width=min(_LEAST, max(self._width(i), len(names[i]))) if text else least,
            )
        for row in table.rows:
            if row.starts_group and out.row_count:
                out.add_section()
            style = self._lineup.style(row.model)
            cells = []
            for i in columns:
                named = i == table.model_column and row.model
                bold = row.cells[i].best
                cells.append(Text(row.cells[i].text, style="bold" if bold else style if named else ""))
            out.add_row(*cells)
        return out

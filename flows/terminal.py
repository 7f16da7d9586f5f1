"""What is printed for people: text as it is; tables that fit 80 columns and cut nothing: too long goes on below."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

#: characters between two columns
GAP = 2


def plain_console(stderr: bool = False) -> Console:
    """A terminal to which brackets and colons are text: names, paths and messages are printed as they are."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table of these columns; those in ``right`` hold numbers, which are never broken."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for name in columns:
        number = name in right
        table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
    return table

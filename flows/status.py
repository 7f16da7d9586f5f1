"""``tad status``: what is done, missing, being made or broken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from flows.terminal import GAP, plain_console, plain_table
from tad_core.artifacts import Store
from tad_core.artifacts.runs import records
from tad_core.config import TADConfig
from tad_core.hub import without_fetching
from tad_core.stages.status import StageStatus, left_out, pipeline_status

_STYLE = {"done": "green", "missing": "yellow", "running": "cyan", "broken": "red"}
_TELLING = ("broken", "running", "missing")
_NAMED = 3
COLUMNS = ("stage", "what", "state", "details")
#: characters that the details have at the least
_LEAST = 20

Row = tuple[str, str, Text, str]


def print_status(config: TADConfig, verify: bool = False) -> None:
    """One line a stage or model; shards are counted, and those that are not done are named, with who has them in hand.

    What belongs to a further round is under a heading of its own. ``verify`` reads every file, also those that this
    host has read before and that have not changed since.
    """
    with without_fetching():
        found = pipeline_status(config, Store(config.store, anew=verify))
    # The store is above the table: a folder beside it fits the line, and can be copied.
    store = f"{config.store.rstrip('/')}/"
    parts = [(part, _rows(list(entries), store)) for part, entries in groupby(found, key=lambda e: e.part)]
    console = plain_console()
    console.print(f"{config.name} in {config.store}", style="italic", soft_wrap=True)
    widths = _widths([row for _, rows in parts for row in rows], console.width)
    for i, (part, rows) in enumerate(parts):
        if i:
            console.print(part or "all models", style="bold")
        console.print(_table(rows, widths, headed=not i))
    for source, reason, rows, examples in left_out(config):
        console.print(f"left out of {source}: {rows:,} row{'s' * (rows != 1)}, {reason} ({examples})")
    if told := _last_run(config):
        console.print(told)


def _last_run(config: TADConfig) -> str:
    """Whether the newest run of this name is going on, or how it ended where it did not come to its end."""
    newest = next((run for run in records(config.store) if run.config.get("name") == config.name), None)
    if newest is None or newest.state == "done":
        return ""
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(newest.started_at))
    if newest.state == "running" and newest.alive is not False:
        return f"running now: to {newest.until}, process {newest.pid} of {newest.host}, since {since}"
    how = newest.state if newest.state in ("failed", "stopped") else "killed"
    why = f": {newest.message}" if newest.message else ""
    return f"last run: to {newest.until}, of {since}, {how}{why}; the same command, or `tad resume`, goes on"


def _widths(rows: Sequence[Row], room: int) -> list[int]:
    """Of the columns: the folders that a run wrote stay whole, and long names are folded instead, where that helps."""
    shown = [COLUMNS, *((row[0], row[1], str(row[2]), "") for row in rows)]
    first = [max(map(len, column)) for column in zip(*shown, strict=True)][:3]
    folder = max([len(row[3]) for row in rows if str(row[2]) == "done"] + [_LEAST])
    rest = room - sum(first) - 3 * GAP
    if rest < folder:
        first[1] = max(len("12 of 12 shards"), first[1] - (folder - rest))
    return [*first, max(_LEAST, room - sum(first) - 3 * GAP)]


def _table(rows: Sequence[Row], widths: Sequence[int], headed: bool) -> Table:
    table = plain_table(*COLUMNS)
    table.show_header = headed
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
    for row in rows:
        table.add_row(*row)
    return table


def _rows(entries: Sequence[StageStatus], store: str) -> list[Row]:
    """The rows of some stages; the shards of one are counted."""
    rows: list[Row] = []
    for (stage, shards), pieces in groupby(entries, key=lambda e: (e.stage, e.is_shard)):
        if shards:
            rows.append((stage, *_shards(list(pieces))))
            continue
        for entry in pieces:
            folder = entry.url.removeprefix(store) if entry.state == "done" else ""
            rows.append((stage, entry.name, _coloured(entry.state), entry.why or folder))
    return rows


def _shards(shards: Sequence[StageStatus]) -> tuple[str, Text, str]:
    """How many are done, the most telling state, and which are not."""
    bad = sorted((e for e in shards if e.state != "done"), key=lambda e: _TELLING.index(e.state))
    named = [f"{e.name} {e.state}" + _more(e) for e in bad[:_NAMED]]
    named += [f"and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
    count = f"{len(shards) - len(bad)} of {len(shards)} shards"
    return count, _coloured(bad[0].state if bad else "done"), "; ".join(named)


def _more(entry: StageStatus) -> str:
    if not entry.why:
        return ""
    return f" on {entry.why}" if entry.state == "running" else f" ({entry.why})"


def _coloured(state: str) -> Text:
    return Text(state, style=_STYLE[state])

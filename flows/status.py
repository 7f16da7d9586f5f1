"""``tad status``: what is done, missing, being made or broken."""

from __future__ import annotations

import time
from itertools import groupby

from rich.text import Text

from flows.terminal import plain_console, plain_table
from tad_core.artifacts import Store
from tad_core.artifacts.runs import records
from tad_core.config import TADConfig
from tad_core.hub import without_fetching
from tad_core.stages.status import StageStatus, left_out, pipeline_status

_STYLE = {"done": "green", "missing": "yellow", "running": "cyan", "broken": "red"}
_TELLING = ("broken", "running", "missing")
_NAMED = 3


def print_status(config: TADConfig, verify: bool = False) -> None:
    """One line a stage or model; shards are counted, and those that are not done are named, with who has them in hand.

    ``verify`` reads every file, also those that this host has read before and that have not changed since.
    """
    table = plain_table("stage", "what", "state", "details")
    with without_fetching():
        found = pipeline_status(config, Store(config.store, anew=verify))
    # The store is above the table: a folder beside it fits the line, and can be copied.
    store = f"{config.store.rstrip('/')}/"
    for stage, entries in groupby(found, key=lambda e: e.stage):
        for row in _rows(stage, list(entries), store):
            table.add_row(*row)
    console = plain_console()
    console.print(f"{config.name} in {config.store}", style="italic", soft_wrap=True)
    console.print(table)
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


def _rows(stage: str, entries: list[StageStatus], store: str) -> list[tuple[str, str, Text, str]]:
    """The rows of a stage; shards of a round apart from those of the run itself."""
    rows = []
    for part, shards in groupby((e for e in entries if e.is_shard), key=lambda e: e.part):
        rows.append((stage, *_shards(list(shards), f", {part}" if part else "")))
    for entry in (e for e in entries if not e.is_shard):
        folder = entry.url.removeprefix(store) if entry.state == "done" else ""
        rows.append((stage, entry.name, _coloured(entry.state), entry.why or folder))
    return rows


def _shards(shards: list[StageStatus], suffix: str) -> tuple[str, Text, str]:
    """How many are done, the most telling state, and which are not."""
    bad = sorted((e for e in shards if e.state != "done"), key=lambda e: _TELLING.index(e.state))
    named = [f"{e.name} {e.state}" + _more(e) for e in bad[:_NAMED]]
    named += [f"and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
    count = f"{len(shards) - len(bad)} of {len(shards)} shards{suffix}"
    return count, _coloured(bad[0].state if bad else "done"), "; ".join(named)


def _more(entry: StageStatus) -> str:
    if not entry.why:
        return ""
    return f" on {entry.why}" if entry.state == "running" else f" ({entry.why})"


def _coloured(state: str) -> Text:
    return Text(state, style=_STYLE[state])

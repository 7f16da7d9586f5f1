"""``tad resume``: which run to go on with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tad_core.artifacts import absolute_root
from tad_core.artifacts.runs import RunRecord, unfinished
from tad_core.config import TADConfig, parse_config
from tad_core.errors import ConfigError

_RUNS = Path("runs")


class Unfinished(NamedTuple):
    """A run to go on with: its settings, its last stage, a line that says which it is, where it was started, and the
    stages that it was to compute again."""

    config: TADConfig
    until: Any
    told: str
    folder: Path
    force: list[Any]


def newest_unfinished(
    config: TADConfig | None, overrides: Sequence[str] = (), store: str | None = None
) -> Unfinished:
    """The newest run that did not end well.

    Args:
        config: look in its store, for runs of its name; None looks in every store under ``runs/``.
        overrides: of the command line; a run is resumed as it was started, so there may be none without a file.
        store: look there instead.

    Raises:
        ConfigError: there is none, or it is still running.
    """
    if overrides:
        raise ConfigError(
            "--set: a run goes on with the settings it was started with; to change some, run the stage's own command"
        )
    roots = _roots(config, store)
    found = [(record, root) for root in roots for record in unfinished(root, config.name if config else None)]
    if not found:
        raise ConfigError(_none(config, roots))
    record, root = max(found, key=lambda pair: pair[0].started_at)
    if record.state == "running" and record.alive:
        raise ConfigError(
            f"resume: the newest run (to {record.until}, process {record.pid}) is still running; wait for it or stop it"
        )
    settings = parse_config({**record.config, "store": root})
    # Relative paths of its settings start where it was started, if that was here.
    there = Path(record.folder or ".") if record.alive is not None else Path()
    folder = there.resolve() if there.is_dir() else Path.cwd()
    return Unfinished(settings, record.until, _told(record, root, folder), folder, record.force)


def _none(config: TADConfig | None, roots: Sequence[str]) -> str:
    """That there is none, and what there is under other names."""
    of, where = f" of {config.name}" if config else "", ", ".join(roots) or _RUNS.resolve()
    others = dict.fromkeys(record.config.get("name", "") for root in roots for record in unfinished(root))
    if config and others:
        return (
            f"resume: no unfinished run{of} in {where}; those there are called {', '.join(others)}: "
            f"`tad resume --store {roots[0]}` goes on with the newest"
        )
    told = f"resume: no unfinished run{of} in {where}"
    return f"{told}; start one with `tad run CONFIG`, or name another store with --store"


def _roots(config: TADConfig | None, store: str | None) -> list[str]:
    if store is not None:
        return [absolute_root(store)]
    if config is not None:
        return [config.store]
    return sorted(str(folder.parent.resolve()) for folder in _RUNS.glob("*/.runs"))


def _told(record: RunRecord, root: str, folder: Path) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started_at))
    how = "it was killed" if record.state in ("running", "killed") else f"it was {record.state}"
    why = f": {record.message}" if record.message else ""
    where = "" if folder == Path.cwd() else f", from {folder}"
    forced = f", with --force {' --force '.join(record.force)}, which begins anew" if record.force else ""
    what = f"{record.config['name']} to {record.until} in {root}, started {when} ({how}{why})"
    return f"going on with {what}{where}{forced}"

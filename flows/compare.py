"""``tad compare``: two finished runs side by side, and the settings in which they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from flows.terminal import plain_console, plain_table
from tad_core.artifacts import ArtifactRef, Store, read_manifest, ref_at
from tad_core.config import load_config
from tad_core.errors import ConfigError
from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.evaluation.pairing import Pair, PairedRuns, Way, paired
from tad_core.evaluation.records import Record, read_records
from tad_core.hub import without_fetching
from tad_core.report.console import read_scores
from tad_core.report.numbers import signed
from tad_core.report.scores import SINGLE, Score, Scores
from tad_core.stages.filter import privileged_total, read_summary
from tad_core.stages.texts import finished

_NONE = "–"
_SINGLE, _ACCURACY, _TPF, _AUP = "accuracy 1 by 1 %", "accuracy %", "tokens/forward", "AUP"


class Run(NamedTuple):
    """A finished run: what it was called by, its settings, its numbers, and how many trajectories it kept."""

    name: str
    config: dict[str, Any]
    scores: Scores
    kept: int
    judged: int
    evaluated: tuple[ArtifactRef, ...] = ()


class Number(NamedTuple):
    """One number of both runs, None where a run lacks it; intervals where there are any.

    ``difference`` is that of the second over the first on the same problems; None where they asked different ones.
    """

    task: str
    model: str
    what: str
    first: float | None
    second: float | None
    first_interval: Interval | None = None
    second_interval: Interval | None = None
    difference: Estimate | None = None

    @property
    def apart(self) -> bool | None:
        """Whether the paired difference excludes 0, or else whether the intervals share no point; None without any."""
        if self.difference is not None:
            span = self.difference.interval
            return None if span is None else span.low > 0 or span.high < 0
        a, b = self.first_interval, self.second_interval
        return None if a is None or b is None else not a.overlaps(b)


def find_run(given: str) -> Run:
    """The run of a configuration, of a store (its newest report), or of a report's folder.

    Raises:
        ConfigError: it is none of them, or not finished.
    """
    path = Path(given).expanduser()
    if path.is_file():
        config = load_config(path)
        with without_fetching():
            reports = finished(config, Store(config.store), "report")
        if not reports:
            raise ConfigError(
                f"{given}: it has no finished report in {config.store}; run `tad run {given}` first"
            )
        return _run(given, reports[0])
    manifest = read_manifest(str(path)) if path.is_dir() else None
    if manifest is not None and manifest.stage == "report":
        return _run(given, ref_at(str(path)))
    made = sorted(path.glob("report/*/manifest.json"), key=lambda file: file.stat().st_mtime)
    if not made:
        raise ConfigError(
            f"{given}: it is no configuration, store or report with results; give a YAML file whose run is finished, "
            "its store, or the folder of its report"
        )
    return _run(given, ref_at(str(made[-1].parent)))


def _run(name: str, report: ArtifactRef) -> Run:
    manifest = report.manifest
    entry = next(i for i in manifest.inputs if i.stage == "filter")
    root = report.url.rpartition("/report/")[0]
    summary = read_summary(ref_at(f"{root}/filter/{entry.fingerprint}"))
    judged = privileged_total(summary)
    measured = [i.fingerprint for i in manifest.inputs if i.stage == "evaluate"]
    evaluated = tuple(ref_at(f"{root}/evaluate/{mark}") for mark in measured)
    return Run(name, manifest.config, read_scores(report), summary["kept"], judged, evaluated)


def numbers(first: Run, second: Run) -> list[Number]:
    """Accuracy, speed and AUP of every model on every task that either run has."""
    tables = [{(t.task, s.model): s for t in run.scores.tasks for s in t.scores} for run in (first, second)]
    found = []
    together = same_problems(first, second)
    for task, model in dict.fromkeys([*tables[0], *tables[1]]):
        a, b = (table.get((task, model)) for table in tables)
        one, two = _values(a, first.scores), _values(b, second.scores)
        pairs = _pairs(together.get(task), model, first.scores, second.scores)
        for what in dict.fromkeys([*one, *two]):
            (x, x_interval), (y, y_interval) = one.get(what, (None, None)), two.get(what, (None, None))
            number = Number(task, model, what, x, y, x_interval, y_interval)
            found.append(number if (pair := pairs.get(what)) is None else _with(number, pair))
    return found


def same_problems(first: Run, second: Run) -> dict[str, PairedRuns]:
    """The tasks of both runs that asked the same problems, all models and ways together."""
    one, two = ({ref.manifest.config.get("problems") for ref in run.evaluated} for run in (first, second))
    records, settings = [_by_task(run) for run in (first, second)], _tasks(first)
    # A problem of one name may ask something else in another run, unless both have the same problems or ask for them
    # in the same words.
    alike = {t for t in records[0] if one == two or settings.get(t) == _tasks(second).get(t, "none")}
    resamples = min(run.scores.bootstrap for run in (first, second))
    pairs = {
        task: paired(records[0][task], records[1][task], resamples, first.scores.aup_alpha)
        for task in alike & records[1].keys()
    }
    return {task: pair for task, pair in pairs.items() if pair is not None}


def _tasks(run: Run) -> dict[str, Any]:
    """What each task asks for."""
    return {task["name"]: task for task in run.config["evaluate"]["tasks"]}


def _by_task(run: Run) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for ref in run.evaluated:
        for record in read_records(ref.local("results.parquet")):
            found.setdefault(record.task, []).append(record)
    return found


def _pairs(together: PairedRuns | None, model: str, first: Scores, second: Scores) -> dict[str, Pair | None]:
    if together is None:
        return {}
    at: tuple[Way, Way] = first.operating.way(model), second.operating.way(model)
    return {
        _SINGLE: together.accuracy(model, SINGLE, SINGLE),
        _ACCURACY: together.accuracy(model, *at),
        _TPF: together.tpf(model, *at),
        _AUP: together.aup(model),
    }


def _with(number: Number, pair: Pair) -> Number:
    """The number with what both runs together say of it; AUP has one best accuracy for both then."""
    return number._replace(
        first=pair.first.value,
        second=pair.second.value,
        first_interval=number.first_interval if number.what != _AUP else pair.first.interval,
        second_interval=number.second_interval if number.what != _AUP else pair.second.interval,
        difference=pair.difference,
    )


def _values(score: Score | None, scores: Scores) -> dict[str, tuple[float | None, Interval | None]]:
    if score is None:
        return {}
    single, point = score.token_by_token, score.at(scores.operating)
    found: dict[str, tuple[float | None, Interval | None]] = {}
    if single is not None:
        found[_SINGLE] = single.accuracy, single.accuracy_interval
    if point is not None:
        found[_ACCURACY] = point.accuracy, point.accuracy_interval
        found[_TPF] = point.tpf, None
        found["tokens/s"] = point.tokens_per_s, None
    found[_AUP] = score.aup, score.aup_interval
    return found


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Path of every setting that differs, and its two values as JSON."""
    one, two = dict(_leaves(first)), dict(_leaves(second))
    paths = dict.fromkeys([*one, *two])
    return [(p, one.get(p, _NONE), two.get(p, _NONE)) for p in paths if one.get(p) != two.get(p)]


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list) and any(isinstance(entry, Mapping) for entry in node):
        for number, value in enumerate(node):
            yield from _leaves(value, f"{path}.{number}")
    else:
        yield path, json.dumps(node)


def compare(given: tuple[str, str], as_json: bool) -> None:
    """Print both runs, paired where they asked the same problems; else AUPs are each report's own."""
    first, second = map(find_run, given)
    rows, settings = numbers(first, second), differences(first.config, second.config)
    if as_json:
        content = {
            "runs": [{"name": run.name, "kept": run.kept, "judged": run.judged} for run in (first, second)],
            "numbers": [{**row._asdict(), "apart": row.apart} for row in rows],
            "settings": settings,
        }
        print(json.dumps(content, indent=1, default=asdict))
        return
    console = plain_console()
    for letter, run in zip("AB", (first, second), strict=True):
        console.print(
            f"{letter}: {run.name} ({run.kept:,} of {run.judged:,} trajectories kept)",
            soft_wrap=True,
        )  # fmt: skip
    console.print(_table(rows))
    console.print(_note(rows), style="dim")
    console.print(Text("settings that differ" if settings else "no setting differs", style="bold"))
    for path, one, two in settings:
        console.print(Text(f"  {path}: {one} | {two}"), soft_wrap=True)


def _note(rows: list[Number]) -> str:
    if any(row.difference is not None for row in rows):
        return (
            "Brackets: 95 % interval of the difference on the same problems; !: it excludes 0. AUP of both is weighted "
            "by the best accuracy of the two together."
        )
    return (
        "The runs asked different problems. !: the 95 % intervals are apart. AUP is weighted by the best accuracy of "
        "its report."
    )


def _table(rows: list[Number]) -> Table:
    table = plain_table("task", "model", "", "A", "B", "B − A", "", right=("A", "B", "B − A"))
    last = ("", "")
    for row in rows:
        known = row.first is not None and row.second is not None
        change = signed(row.second - row.first, 2) if known else _NONE  # type: ignore[operator]
        shown = ("", "") if (row.task, row.model) == last else (row.task, row.model)
        last = row.task, row.model
        cells = [_NONE if v is None else f"{v:.2f}" for v in (row.first, row.second)]
        span = None if row.difference is None else row.difference.interval
        bracket = "" if span is None else f"[{signed(span.low, 2)}, {signed(span.high, 2)}]"
        table.add_row(
            *map(Text, (*shown, row.what, *cells, change, f"{bracket}{' !' if row.apart else ''}".strip()))
        )
    return table

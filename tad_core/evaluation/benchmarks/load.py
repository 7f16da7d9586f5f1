"""A benchmark of the configuration as problems: rows from a local file or the hub, checked, selected."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.rows import Place, read_rows, stamps
from tad_core.data.selection import LeftOut, Selection
from tad_core.data.sources._options import read_options
from tad_core.errors import ConfigError, DataError
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.benchmarks.base import Benchmark, RowError
from tad_core.rng import key

#: ``source`` of a task that is a benchmark.
SOURCE = "benchmark"
_OPTIONS = {"task": "", "path": "", "revision": "", "num_fewshot": -1, "rows": "test"}
_ROWS = ("test", "all")


def load_benchmark(source: SourceConfig) -> Selection:
    """The problems of one entry of ``evaluate.tasks``, and the rows that were left out by reason.

    A score over the rows that happen to be usable is not the benchmark's: a row that cannot be used is an error,
    unless ``min_count`` says how many are enough.

    Raises:
        ConfigError: unknown task or option.
        DataError: missing or unreadable file, too few usable rows, an id twice.
    """
    options = read_options(source, _OPTIONS)
    benchmark, shots = _definition(source, options)
    place = _place(source, benchmark, options)
    return _load(source.model_dump_json(), shots, tuple(stamps(place)))


@lru_cache(maxsize=16)
def _load(text: str, shots: int, files: tuple[tuple[str, int, str], ...]) -> Selection:
    """Read once a process while the files stay: the stages of a run ask often."""
    source = SourceConfig.model_validate_json(text)
    options = read_options(source, _OPTIONS)
    benchmark = BENCHMARKS[str(options["task"])]
    found, twice = Selection(), ""
    for item, where in _problems(source, benchmark, shots, options):
        if isinstance(item, LeftOut):
            found.leave_out(item.reason, item.where)
            continue
        if (first := found.places.setdefault(item.id, where)) != where:
            twice = twice or f"{first} and {where} both have the id {item.id!r}"
        found.problems.append(item)
    _check(source, benchmark, options["path"] or "the hub's data set", found)
    if twice:
        raise DataError(f"task {source.name}: {twice}; leave one of the rows out, or give it another id")
    found.problems = _selected(source, found.problems)
    return found


def _definition(source: SourceConfig, options: Mapping[str, Any]) -> tuple[Benchmark, int]:
    """The benchmark that is named, and the number of examples in its prompt."""
    if options["task"] not in BENCHMARKS:
        near = difflib.get_close_matches(str(options["task"]), BENCHMARKS, n=1)
        none = "" if options["task"] else "name one by options: {task: NAME}; "
        hint = f"did you mean {near[0]}?" if near else f"{none}known: {', '.join(BENCHMARKS)}"
        raise ConfigError(f"task {source.name}: option task {options['task']!r} is not a benchmark; {hint}")
    if options["rows"] not in _ROWS:
        raise ConfigError(
            f"task {source.name}: option rows is {options['rows']!r}; use one of {', '.join(_ROWS)}"
        )
    benchmark = BENCHMARKS[options["task"]]
    shots, most = options["num_fewshot"], len(benchmark.examples)
    shots = benchmark.default_shots if shots == -1 else shots
    if not 0 <= shots <= most:
        raise ConfigError(
            f"task {source.name}: option num_fewshot is {shots}; {benchmark.name} has {most} examples, "
            + (f"use 0 to {most}" if most else "leave it out")
        )
    return benchmark, shots


def _problems(
    source: SourceConfig, benchmark: Benchmark, shots: int, options: Mapping[str, Any]
) -> Iterator[tuple[Problem | LeftOut, str]]:
    """Each row's problem, or why it is none, and the row."""
    for row in read_rows(_place(source, benchmark, options)):
        if isinstance(row, LeftOut):
            yield row, row.where
            continue
        try:
            values = benchmark.clean(row.values)
            if benchmark.wanted(values, options["rows"]):
                yield benchmark.problem(source.name, row.number, values, shots), row.where
        except RowError as error:
            yield LeftOut(str(error), row.where), row.where


def _place(source: SourceConfig, benchmark: Benchmark, options: Mapping[str, Any]) -> Place:
    if options["path"]:
        return Place(source.name, paths=(options["path"],))
    config = benchmark.config
    parts = (
        [part["dataset_name"] for part in config["task"]]
        if "group" in config
        else [config.get("dataset_name")]
    )
    return Place(
        source.name,
        hub=config["dataset_path"],
        configs=tuple(part for part in parts if part),
        split=config["test_split"],
        revision=options["revision"] or None,
    )


def _check(source: SourceConfig, benchmark: Benchmark, where: str, found: Selection) -> None:
    usable, asked = len(found.problems), source.count or found.rows
    need = source.min_count or max(1, asked)
    told = "; ".join(
        f"{reason} {count} ({', '.join(found.examples[reason])})" for reason, count in found.left_out.items()
    )
    if found.rows == 0:
        raise DataError(
            f"task {source.name}: {where} has no row of the benchmark's test split; set rows: all"
        )
    if usable < need:
        columns = ", ".join(benchmark.columns)
        raise DataError(
            f"task {source.name}: {usable} of {found.rows} rows of {where} can be used for {benchmark.name} and "
            f"{need} are needed; left out: {told or 'none'}; give rows with the columns {columns}, or lower count or "
            "min_count"
        )


def _selected(source: SourceConfig, problems: list[Problem]) -> list[Problem]:
    """``count`` of them in the order of the file: the first, or a sample that ``seed`` draws."""
    if source.count is None or source.count >= len(problems):
        return problems
    if source.sample == "first":
        return problems[: source.count]
    drawn = sorted(problems, key=lambda p: key("sample", source.seed, p.id))[: source.count]
    chosen = {p.id for p in drawn}
    return [p for p in problems if p.id in chosen]

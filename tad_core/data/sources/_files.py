"""What the file-based sources share: where the rows are, which split a row belongs to, reading a column."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tad_core.config import SourceConfig
from tad_core.data.formats import FORMATS
from tad_core.data.problem import Problem
from tad_core.data.rows import Place, Row, read_rows
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources._options import read_options
from tad_core.errors import ConfigError
from tad_core.rng import key

#: Options of every file-based source; docs/data.md says what each means.
PLACE_OPTIONS: dict[str, Any] = {
    "path": [],
    "heldout_path": [],
    "heldout_share": 0.0,
    "format": "",
    "hub": "",
    "config": [],
    "hub_split": "",
    "revision": "",
}


class BadRowError(Exception):
    """A row that gives no problem; the text is the reason it is counted by."""


@dataclass(frozen=True)
class HubDefault:
    """Where a source is on the hub, for a config that names no file."""

    id: str
    configs: tuple[str, ...] = ()
    heldout_split: str = "test"


def options_of(source: SourceConfig, own: Mapping[str, Any]) -> dict[str, Any]:
    """The source's options over the defaults of every file-based source and its ``own``."""
    options = read_options(source, {**PLACE_OPTIONS, **own})
    if not 0 <= options["heldout_share"] < 1:
        raise ConfigError(
            f"data source {source.name}: option heldout_share is {options['heldout_share']}; use 0 (no split by hash) "
            "or a share below 1"
        )
    if options["format"] and options["format"] not in FORMATS:
        raise ConfigError(
            f"data source {source.name}: option format is {options['format']!r}; use one of {', '.join(FORMATS)}"
        )
    return options


def place_of(
    source: SourceConfig,
    options: Mapping[str, Any],
    columns: Sequence[str] = (),
    hub: HubDefault | None = None,
) -> Place:
    """Where the rows of the source's split lie.

    Raises:
        ConfigError: neither files nor a hub data set are named, or both are.
    """
    share, heldout = options["heldout_share"], source.split == "heldout"
    paths = options["path"]
    if heldout and not share:
        paths = options["heldout_path"] or paths
    if paths and options["hub"]:
        raise ConfigError(f"data source {source.name}: options path and hub exclude each other; give one")
    named = options["hub"] or (hub.id if hub and not paths else "")
    if not paths and not named:
        raise ConfigError(
            f"data source {source.name}: option path is missing; give a file, a pattern or a list of files, or name a "
            "hub data set as option hub"
        )
    default = hub if hub and named == hub.id else HubDefault("")
    return Place(
        label=source.name,
        paths=tuple(paths),
        hub=named,
        configs=tuple(options["config"]) or default.configs,
        split=options["hub_split"] or (default.heldout_split if heldout and not share else "train"),
        revision=options["revision"] or None,
        format=options["format"],
        columns=frozenset(c for c in columns if c),
    )


def read_problems(
    source: SourceConfig,
    options: Mapping[str, Any],
    place: Place,
    make: Callable[[Row, str], Problem],
    id_columns: Sequence[str] = (),
    prefix: str | None = None,
) -> Iterator[LeftOut | Candidate]:
    """The rows of a place, each a problem once it is wanted.

    Args:
        source: the source.
        options: its options.
        place: where the rows are.
        make: makes a problem of a row and its id; a row that it refuses is left out.
        id_columns: the first of them that a row has makes its id, else its number does.
        prefix: begins the ids; default: the names of source and split.
    """
    before = f"{source.name}/{source.split}/" if prefix is None else prefix
    for row in read_rows(place):
        if isinstance(row, LeftOut):
            yield row
        else:
            id_ = before + _number(row, id_columns)
            yield Candidate(
                id_, partial(_problem, source, options["heldout_share"], make, row, id_), row.where
            )


def _problem(
    source: SourceConfig, share: float, make: Callable[[Row, str], Problem], row: Row, id_: str
) -> Problem | LeftOut | None:
    """The problem of a row, why it is none, or None if it is of the other split."""
    try:
        problem = make(row, id_)
        if problem.kind == "code" and problem.reference.strip() in problem.question:
            raise BadRowError("the question holds the solution")  # the student would see it
    except BadRowError as bad:
        return LeftOut(str(bad), row.where)
    return problem if not share or split_of(problem.question, share) == source.split else None


def split_of(question: str, share: float) -> str:
    """``"heldout"`` for about ``share`` of all questions; the same question always falls on the same side."""
    return "heldout" if key("split", " ".join(question.split())) < share * 2.0**64 else "train"


def _number(row: Row, columns: Sequence[str]) -> str:
    """What tells the row from the others, and stays: the first of ``columns`` that it has, else its number."""
    for column in columns:
        value = row.values.get(column)
        if isinstance(value, str | int | float) and str(value).strip():
            return str(value).strip()
    return row.number


def text_of(row: Row, what: str, *columns: str, numbers: bool = False) -> str:
    """The text of the first of ``columns`` that the row has.

    Args:
        row: the row.
        what: what it is for, in the reason.
        columns: the spellings of its name.
        numbers: whether a number is taken, as its text.

    Raises:
        BadRowError: no such column, no value, or a value of another type.
    """
    column = next((c for c in columns if c in row.values), None)
    if column is None:
        near = difflib.get_close_matches(columns[0], map(str, row.values), n=1, cutoff=0.75)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadRowError(f"no column {' or '.join(map(repr, columns))} ({what}){hint}")
    value = row.values[column]
    if numbers and isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadRowError(f"missing {what}")
    if not isinstance(value, str):
        raise BadRowError(f"{what} of type {type(value).__name__}")
    return value


def lines_of(row: Row, what: str, *columns: str) -> str:
    """As ``text_of``, where a column may also hold a list of texts, one a line: MBPP's ``test_list``.

    Raises:
        BadRowError: see ``text_of``; also an item that is no text.
    """
    column = next((c for c in columns if isinstance(row.values.get(c), list)), None)
    if column is None:
        return text_of(row, what, *columns)
    items = row.values[column]
    wrong = next((item for item in items if not isinstance(item, str)), None)
    if wrong is not None:
        raise BadRowError(f"{what} with an item of type {type(wrong).__name__}")
    text = "\n".join(item for item in items if item.strip())
    if not text:
        raise BadRowError(f"missing {what}")
    return text


def meta_of(row: Row, *columns: str) -> dict[str, Any]:
    """Those of ``columns`` that the row has and that JSON can hold, for ``Problem.meta``."""
    found = {c: row.values[c] for c in columns if row.values.get(c) is not None}
    return {c: v if isinstance(v, str | int | float | bool) else str(v) for c, v in found.items()}

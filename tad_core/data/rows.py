"""Rows of a data set, from local files or from the hub, one at a time.

JSON lines and CSV are read row by row (``formats.py``), so that a row of another type costs that row alone (a reader
that infers one type a column fails on the whole file); Parquet by pyarrow. The files of hub data sets, and of folders
that are laid out like one, are read the same way (``folders.py``). Local files need no network.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec

from tad_core.artifacts.files import remote_errors
from tad_core.data.folders import read_data_set
from tad_core.data.formats import FORMATS, NoRow, format_of, read_values
from tad_core.data.selection import LeftOut
from tad_core.errors import DataError, in_a_line
from tad_core.hub_client import HUB

#: Why a row is left out of which a text was cut in the middle of a sign beyond U+FFFF, such as an emoji.
HALF_A_SIGN = "text with half a character (a lone surrogate)"

_TABLES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Place:
    """Where a data set lies: in ``paths`` (files, patterns, folders), or on the hub.

    Attributes:
        label: name of the data source, for messages.
        paths: local paths or fsspec URLs.
        hub: id of a hub data set, where there are no paths.
        configs: its configurations ("subsets"), each read in turn; empty for the default one.
        split: its split, and that of a folder.
        revision: its commit.
        format: suffix to assume for files that have another.
        columns: the only ones wanted; empty for all.
    """

    label: str
    paths: tuple[str, ...] = ()
    hub: str = ""
    configs: tuple[str, ...] = ()
    split: str = "train"
    revision: str | None = None
    format: str = ""
    columns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        values: column -> value.
        where: file and number, for people.
        number: unique in the data set and the same every time; what an id is made of.
    """

    values: dict[str, Any]
    where: str
    number: str


def read_rows(place: Place) -> Iterator[Row | LeftOut]:
    """Every row in order; what is no row is left out, by reason.

    Raises:
        DataError: no such file or data set, or one that cannot be read at all.
    """
    if not place.paths:
        for config in place.configs or ("",):
            prefix = f"{config}/" if len(place.configs) > 1 else ""
            yield from _data_set(place, place.hub, config, prefix)
        return
    files = _files(place)
    names = _short_names(files)
    for (fs, path), name in zip(files, names, strict=True):
        prefix = f"{PurePosixPath(name)}/" if len(files) > 1 else ""
        if fs.isdir(path):
            yield from _data_set(place, path, next(iter(place.configs), ""), prefix)
            continue
        try:
            yield from _file(place, fs, path, name, prefix)
        except (OSError, ValueError) as error:
            raise DataError(
                f"data source {place.label}: {path} cannot be read ({in_a_line(error)}); give one of "
                f"{', '.join(FORMATS)}, whole"
            ) from None


def stamps(place: Place) -> list[tuple[str, int, str]]:
    """Name, size and time of every local file: equal as long as nothing was written to them."""
    found = []
    for fs, path in _files(place) if place.paths else []:
        info = fs.info(path)
        time = info.get("mtime") or info.get("LastModified") or info.get("created") or ""
        found.append((path, int(info.get("size") or 0), str(time)))
    return found


# --- files ------------------------------------------------------------------------------------------


def _files(place: Place) -> list[tuple[Any, str]]:
    found: list[tuple[Any, str]] = []
    for given in place.paths:
        fs, path, there, matches = _found(place.label, given)
        if not matches and not there:
            here = _here(given)
            begins = ", by its whole path or from the folder in which the command runs" if here else ""
            raise DataError(
                f"data source {place.label}: option path: {given!r} is not a file{here}; give a file "
                f"({', '.join(FORMATS)}), a pattern, or the folder of a data set{begins}"
            )
        found += [(fs, match) for match in matches or [path]]
    return found


def _found(label: str, given: str) -> tuple[Any, str, bool, list[str]]:
    """The file system of a path, the path in it, whether something is there, else what matches it as a pattern."""
    try:
        with remote_errors():
            fs, path = fsspec.core.url_to_fs(os.path.expanduser(given))  # noqa: PTH111 (a URL is no Path)
            # What is there by that very name is no pattern: as one, "run[1].jsonl" is the file beside it, run1.jsonl.
            there = bool(given) and fs.exists(path)
            return fs, path, there, sorted(fs.glob(path)) if not there and glob.has_magic(path) else []
    except (OSError, ValueError) as error:
        raise DataError(
            f"data source {label}: option path: {given!r} cannot be opened ({in_a_line(error)}); give a file, or a URL "
            "that is known and reached here"
        ) from None


def _here(given: str) -> str:
    """Where a relative path was looked for: where the command was typed, not where the configuration lies."""
    relative = "://" not in given and not os.path.isabs(os.path.expanduser(given))  # noqa: PTH111, PTH117
    return f" in {os.getcwd()}" if relative else ""  # noqa: PTH109


def _short_names(files: Sequence[tuple[Any, str]]) -> list[str]:
    """What tells the files apart: their names, below the folder that they share."""
    paths = [path for _, path in files]
    if len(paths) == 1:
        return [PurePosixPath(paths[0]).name]
    shared = os.path.commonpath([str(PurePosixPath(path).parent) for path in paths])
    return [str(PurePosixPath(path).relative_to(shared)) for path in paths]


def _file(place: Place, fs: Any, path: str, name: str, prefix: str) -> Iterator[Row | LeftOut]:
    suffix, packed = format_of(path)
    suffix = place.format or suffix
    if suffix not in FORMATS:
        raise DataError(
            f"data source {place.label}: {path} has the suffix {suffix!r}; use one of {', '.join(FORMATS)}, or name "
            "one of them as option format"
        )
    # A record of a table is no line of its file, which has a header and may break lines inside a cell.
    counted = f"{name} row " if suffix in _TABLES else f"{name}:"
    yield from _rows(read_values(fs, path, suffix, packed, place.columns), counted, prefix, place.columns)


def _rows(values: Iterator[Any], shown: str, prefix: str, wanted: Set[str]) -> Iterator[Row | LeftOut]:
    for number, value in enumerate(values, 1):
        where = f"{shown}{number}"
        if isinstance(value, NoRow):
            if value:
                yield LeftOut(value, where)
        elif not isinstance(value, dict):
            yield LeftOut(f"not an object but a {type(value).__name__}", where)
        elif not all(_is_unicode(cell) for name, cell in value.items() if not wanted or name in wanted):
            yield LeftOut(HALF_A_SIGN, where)
        else:
            yield Row(value, where, f"{prefix}{number}")


def _is_unicode(value: Any) -> bool:
    """Whether every text in it can be written and tokenized: JSON may escape one half of a surrogate pair alone."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    elif isinstance(value, list):
        return all(map(_is_unicode, value))
    elif isinstance(value, dict):
        return all(_is_unicode(part) for pair in value.items() for part in pair)
    return True


def _data_set(place: Place, path: str, config: str, prefix: str) -> Iterator[Row | LeftOut]:
    """A hub data set, or a folder with one."""
    import datasets

    shown = f"{path}{f' ({config})' if config else ''}"
    is_hub = bool(place.hub)
    values = read_data_set(path, config, place.split, place.revision, place.columns, is_hub)
    try:
        yield from _rows(values, f"{shown} {place.split}:", prefix, place.columns)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        remedy = (
            "check id, config, split, revision and network (HF_DATASETS_OFFLINE keeps to the local cache), or give "
            "option path"
            if is_hub
            else "give files, or a folder with the files of one data set"
        )
        raise DataError(
            f"data source {place.label}: the data set {shown}, split {place.split}, cannot be read "
            f"({(is_hub and HUB.refused) or in_a_line(error)}); {remedy}"
        ) from None

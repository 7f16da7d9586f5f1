"""Rows of a data set, from local files or from the hub, one at a time.

JSON lines and CSV are read row by row here, so that a row of another type costs that row alone (a reader that
infers one type a column fails on the whole file); Parquet by pyarrow; hub data sets, and folders that are laid out
like one, by ``datasets``. Local files need no network.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from tad_core.data.selection import LeftOut
from tad_core.errors import DataError

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_PACKED = (".gz", ".bz2", ".xz")
#: what ``save_to_disk`` writes beside the tables
_SAVED = ("state.json", "dataset_dict.json")
_BATCH = 512
_LONGEST_CELL = 1 << 26


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
        except (OSError, EOFError, ValueError, csv.Error) as error:
            raise DataError(
                f"data source {place.label}: {path} cannot be read ({_first_line(error)}); give one of "
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
        fs, path = fsspec.core.url_to_fs(os.path.expanduser(given))  # noqa: PTH111 (a URL is no Path)
        matches = sorted(fs.glob(path)) if any(sign in given for sign in "*?[") else []
        if not matches and not (given and fs.exists(path)):
            raise DataError(
                f"data source {place.label}: option path: {given!r} is not a file; give a file ({', '.join(FORMATS)}), "
                "a pattern, or the folder of a data set"
            )
        found += [(fs, match) for match in matches or [path]]
    return found


def _short_names(files: Sequence[tuple[Any, str]]) -> list[str]:
    """What tells the files apart: their names, below the folder that they share."""
    paths = [path for _, path in files]
    if len(paths) == 1:
        return [PurePosixPath(paths[0]).name]
    shared = os.path.commonpath([str(PurePosixPath(path).parent) for path in paths])
    return [str(PurePosixPath(path).relative_to(shared)) for path in paths]


def _file(place: Place, fs: Any, path: str, name: str, prefix: str) -> Iterator[Row | LeftOut]:
    suffixes = [s.lower() for s in PurePosixPath(path).suffixes]
    packed = bool(suffixes) and suffixes[-1] in _PACKED
    suffix = place.format or (suffixes[: -1 if packed else None] or [""])[-1]
    if suffix not in FORMATS:
        raise DataError(
            f"data source {place.label}: {path} has the suffix {suffix!r}; use one of {', '.join(FORMATS)}, or name "
            "one of them as option format"
        )
    if suffix == ".parquet":
        with fs.open(path, "rb") as handle:
            yield from _parquet(place, handle, name, prefix)
        return
    with fs.open(path, "rb", compression="infer" if packed else None) as handle:
        if suffix in (".csv", ".tsv"):
            values: Iterator[Any] = _csv(handle, "\t" if suffix == ".tsv" else ",")
        elif suffix == ".json" and _first_sign(handle) == b"[":
            values = iter(json.load(handle))
        else:
            values = _json_lines(handle)
        for number, row in enumerate(values, 1):
            where = f"{name}:{number}"
            if isinstance(row, _NoRow):
                if row:
                    yield LeftOut(row, where)
            elif isinstance(row, dict):
                yield Row(row, where, f"{prefix}{number}")
            else:
                yield LeftOut(f"not an object but a {type(row).__name__}", where)


class _NoRow(str):
    """Why there is no row here; empty for an empty line, which is nobody's loss."""


def _json_lines(handle: IO[bytes]) -> Iterator[Any]:
    """One value a line, of whatever type."""
    for number, line in enumerate(handle):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            yield _NoRow()
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield _NoRow("not UTF-8 text")
        except (ValueError, RecursionError):
            yield _NoRow("not JSON")
        else:
            yield value


def _csv(handle: IO[bytes], delimiter: str) -> Iterator[Any]:
    """One record each; every cell stays the text it is."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
    for record in csv.DictReader(text, delimiter=delimiter):
        yield _NoRow("more cells than columns") if None in record else record


def _first_sign(handle: IO[bytes]) -> bytes:
    """The first byte that is no white space; the file is where it was."""
    start = handle.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    handle.seek(0)
    return start


def _parquet(place: Place, handle: IO[bytes], name: str, prefix: str) -> Iterator[Row]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(handle)
    names = _wanted(place, file.schema_arrow.names)
    number = 0
    for batch in file.iter_batches(_BATCH, columns=names):
        for values in batch.to_pylist():
            number += 1
            yield Row(values, f"{name}:{number}", f"{prefix}{number}")


def _wanted(place: Place, names: Sequence[str]) -> list[str]:
    """The columns to read; all of them where none is wanted, since rows without columns could not be counted."""
    return [name for name in names if name in place.columns] or list(names)


# --- the hub ----------------------------------------------------------------------------------------


def _data_set(place: Place, path: str, config: str, prefix: str) -> Iterator[Row]:
    """A hub data set, or a folder with one, through ``datasets``."""
    shown = f"{path}{f' ({config})' if config else ''}"
    data = _load(place, path, config, shown)
    number = 0
    for batch in data.select_columns(_wanted(place, data.column_names)).with_format("arrow").iter(_BATCH):
        for values in batch.to_pylist():
            number += 1
            yield Row(values, f"{shown} {place.split}:{number}", f"{prefix}{number}")


def _load(place: Place, path: str, config: str, shown: str) -> Any:
    import datasets

    quiet = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if not place.hub and any(Path(path, name).is_file() for name in _SAVED):
            saved = datasets.load_from_disk(path)
            return saved[place.split] if isinstance(saved, datasets.DatasetDict) else saved
        return datasets.load_dataset(path, config or None, split=place.split, revision=place.revision)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        remedy = (
            "check id, config, split, revision and network (HF_DATASETS_OFFLINE keeps to the local cache), or give "
            "option path"
            if place.hub
            else "give files, or a folder with the files of one data set"
        )
        raise DataError(
            f"data source {place.label}: the data set {shown}, split {place.split}, cannot be read "
            f"({_first_line(error)}); {remedy}"
        ) from None
    finally:
        if not quiet:
            datasets.enable_progress_bars()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

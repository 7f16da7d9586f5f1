"""The rows in one file, as the file has them: JSON lines, JSON, CSV, Parquet, also packed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence, Set
from pathlib import PurePosixPath
from typing import IO, Any

from tad_core.errors import in_a_line

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
PACKED = (".gz", ".bz2", ".xz")
BATCH = 512
_LONGEST_CELL = 1 << 26


class NoRow(str):
    """Why there is no row here; empty for an empty line, which is nobody's loss."""


def format_of(path: str) -> tuple[str, bool]:
    """The suffix that says the format, in lower case, and whether the file is packed."""
    suffixes = [s.lower() for s in PurePosixPath(path).suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    return (suffixes[: -1 if packed else None] or [""])[-1], packed


def read_values(
    fs: Any, path: str, suffix: str, packed: bool, wanted: Set[str], delimiter: str | None = None
) -> Iterator[Any]:
    """What stands where rows are expected, in the file's order: a dict is a row, ``NoRow`` says why it is none.

    Args:
        fs: the file system (fsspec) of the file.
        path: its path in it.
        suffix: one of ``FORMATS``.
        packed: whether the suffix after it names a compression.
        wanted: columns of a Parquet file to read; empty, or none that it has, reads all.
        delimiter: between the cells of a CSV file; default: by the suffix.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    if suffix == ".parquet":
        with _as_value_errors(), fs.open(path, "rb") as handle:
            yield from _parquet(handle, wanted)
        return
    with _as_value_errors(), fs.open(path, "rb", compression="infer" if packed else None) as handle:
        if suffix in (".csv", ".tsv"):
            yield from _csv(handle, delimiter or ("\t" if suffix == ".tsv" else ","))
        elif suffix == ".json" and _first_sign(handle) == b"[":
            yield from json.load(handle)
        else:
            yield from _json_lines(handle)


@contextlib.contextmanager
def _as_value_errors() -> Iterator[None]:
    """Let whatever a reader says of a file it cannot read be a ``ValueError``: each has errors of its own kind.

    Of Parquet that may be a type which Python has no value for, or a date beyond its calendar.
    """
    try:
        yield
    except (EOFError, csv.Error, zlib.error, lzma.LZMAError, NotImplementedError, OverflowError) as error:
        raise ValueError(in_a_line(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def chosen(names: Sequence[str], wanted: Set[str]) -> list[str]:
    """The columns to read; all of them where none is wanted, since rows without columns could not be counted."""
    return [name for name in names if name in wanted] or list(names)


def _json_lines(handle: IO[bytes]) -> Iterator[Any]:
    """One value a line, of whatever type."""
    for number, line in enumerate(handle):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            yield NoRow()
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield NoRow("not UTF-8 text")
        except (ValueError, RecursionError):
            yield NoRow("not JSON")
        else:
            yield value


def _csv(handle: IO[bytes], delimiter: str) -> Iterator[Any]:
    """One record each; every cell stays the text it is."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
    for record in csv.DictReader(text, delimiter=delimiter):
        yield NoRow("more cells than columns") if None in record else record


def _first_sign(handle: IO[bytes]) -> bytes:
    """The first byte that is no white space; the file is where it was."""
    start = handle.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    handle.seek(0)
    return start


def _parquet(handle: IO[bytes], wanted: Set[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(handle)
    for batch in file.iter_batches(BATCH, columns=chosen(file.schema_arrow.names, wanted)):
        yield from batch.to_pylist()

"""Data sets of several files: a folder laid out for ``datasets``, or one on the hub.

``datasets`` says which files a configuration and a split have; they are read as single files are. Its own readers find
one type for a column and convert to it: a CSV's ``007`` becomes 7 and its ``None`` nothing, so that the same file would
give another text by another way. Only what is no plain file (written by ``save_to_disk``, a zip archive, a reader with
options of its own, a slice of a split) is read by ``datasets``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import re
import tempfile
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import fsspec

from tad_core.data.formats import BATCH, FORMATS, chosen, format_of, read_values
from tad_core.hub_client import ask_once

#: what ``save_to_disk`` writes beside the tables
_SAVED = ("state.json", "dataset_dict.json")
_READERS = ("csv", "json", "parquet")
#: Options of a reader that say which files there are, what is declared of them, or how fast they are read. The
#: separator is kept to. Any other decides how a file is read.
_HARMLESS = frozenset(
    [
        "name",
        "version",
        "data_dir",
        "data_files",
        "description",
        "sep",
        "delimiter",
        "features",
        "batch_size",
        "chunksize",
        "columns",
        "use_threads",
        "block_size",
        "newlines_in_values",
        "on_mixed_types",
        "parse_agent_traces",
        "fragment_scan_options",
    ]
)
_ON_HUB = re.compile(r"hf://datasets/([^@]+)@[^/]+/(.+)")


class _File(NamedTuple):
    path: str
    suffix: str
    is_packed: bool
    delimiter: str | None


def read_data_set(
    path: str, config: str, split: str, revision: str | None, columns: Set[str], is_hub: bool
) -> Iterator[Any]:
    """What stands where rows are expected, over all files of a split, as ``formats.read_values`` gives it.

    Args:
        path: a folder, or the id of a hub data set.
        config: its configuration; empty for the default one.
        split: its split.
        revision: its commit on the hub.
        columns: the only ones wanted; empty for all.
        is_hub: whether ``path`` is the id of one on the hub.

    Raises:
        OSError, ValueError, KeyError, DatasetsError: it is not there or cannot be read.
    """
    if is_hub:
        ask_once()
    saved = not is_hub and any(Path(path, name).is_file() for name in _SAVED)
    if not is_hub and not saved:
        _check_name(path)
    files = None if saved else _plain_files(path, config, split, revision)
    if files is None:
        yield from _converted(path, config, split, revision, columns, saved)
        return
    for file in files:
        fs, place = fsspec.core.url_to_fs(file.path)
        yield from read_values(fs, place, file.suffix, file.is_packed, columns, file.delimiter)


def _plain_files(path: str, config: str, split: str, revision: str | None) -> list[_File] | None:
    """Every file of a split; None if one is no plain file, or if only ``datasets`` can tell."""

    with _quiet():
        builder = _builder(path, config, revision)
        if builder is None or type(builder).__module__.rpartition(".")[2] not in _READERS:
            return None
        by_split = {name: list(map(str, files)) for name, files in (builder.config.data_files or {}).items()}
        formats = [format_of(file) for file in by_split.get(split, [])]
        if not formats or any(suffix not in FORMATS for suffix, _ in formats):
            return None
        if not _is_read_as_it_is(builder.config):
            return None
        # All splits of a hub data set, as ``datasets`` does it, so that the other ones are there without a network.
        folder = _fetched([file for files in by_split.values() for file in files], revision)
        if folder is None:
            return None
    local = [_ON_HUB.sub(lambda found: str(Path(folder, found[2])), file) for file in by_split[split]]
    delimiter = getattr(builder.config, "sep", None)
    return [_File(file, *format_, delimiter) for file, format_ in zip(local, formats, strict=True)]


def _builder(path: str, config: str, revision: str | None) -> Any:
    """What knows the files; None where ``load_dataset`` is to say what is wrong, or has it in its own cache."""
    import datasets
    import huggingface_hub

    failures = (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError)
    if not datasets.config.HF_HUB_OFFLINE or Path(path).is_dir():
        try:
            return datasets.load_dataset_builder(path, config or None, revision=revision)
        except failures:
            if Path(path).is_dir():
                return None
    try:
        fetched = huggingface_hub.snapshot_download(
            path, repo_type="dataset", revision=revision, local_files_only=True
        )
        return datasets.load_dataset_builder(fetched, config or None)
    except failures:
        return None


def _check_name(folder: str) -> None:
    """``datasets`` looks for files below a folder's name as a pattern: below that of ``set[1]`` it finds those of set1.

    Raises:
        ValueError: the name would be one.
    """
    whole = Path(folder).expanduser().resolve()
    if glob.has_magic(str(whole)):
        part = next(part for part in whole.parts if glob.has_magic(part))
        raise ValueError(f"{part} in its path would be read as a pattern; rename it")


def _fetched(files: Sequence[str], revision: str | None) -> str | None:
    """The folder that has those of ``files`` that are on the hub; None if some are neither there nor here."""
    import huggingface_hub

    on_hub = [found for file in files if (found := _ON_HUB.fullmatch(file))]
    if (
        any("://" in file and not _ON_HUB.fullmatch(file) for file in files)
        or len({f[1] for f in on_hub}) > 1
    ):
        return None
    if not on_hub:
        return ""
    return str(
        huggingface_hub.snapshot_download(
            on_hub[0][1],
            repo_type="dataset",
            revision=revision,
            allow_patterns=[glob.escape(found[2]) for found in on_hub] + ["README.md"],
        )
    )


def _is_read_as_it_is(config: Any) -> bool:
    """Whether no option of the reader is set that makes other rows of the same file."""
    plain = type(config)()
    names = [field.name for field in dataclasses.fields(config) if field.name not in _HARMLESS]
    return all(getattr(config, name) == getattr(plain, name) for name in names)


def _converted(
    path: str, config: str, split: str, revision: str | None, columns: Set[str], saved: bool
) -> Iterator[dict[str, Any]]:
    """The rows as ``datasets`` has them."""
    import datasets

    with contextlib.ExitStack() as stack:
        with _quiet():
            if saved:
                found = datasets.load_from_disk(path)
                data = found[split] if isinstance(found, datasets.DatasetDict) else found
            else:
                # Its cache knows a file by path and time, and would give what stood there before.
                own = stack.enter_context(tempfile.TemporaryDirectory()) if Path(path).is_dir() else None
                data = datasets.load_dataset(
                    path, config or None, split=split, revision=revision, cache_dir=own
                )
        wanted = chosen(data.column_names, columns)
        for batch in data.select_columns(wanted).with_format("arrow").iter(BATCH):
            yield from batch.to_pylist()


class _quiet:  # noqa: N801 (used as a function)
    """No progress bars of ``datasets`` and of the hub's client, which are on by default."""

    def __enter__(self) -> None:
        import datasets
        from huggingface_hub import utils

        self._on = [library for library in (datasets, utils) if not library.are_progress_bars_disabled()]
        for library in self._on:
            library.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        for library in self._on:
            library.enable_progress_bars()

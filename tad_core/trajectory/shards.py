"""Trajectory and verdict tables on disk: Parquet with page checksums, one row a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tad_core.artifacts.verified import forget
from tad_core.errors import ArtifactError
from tad_core.trajectory.schema import TRAJECTORY_SCHEMA, VERDICT_SCHEMA, Trajectory


def write_trajectories(path: str | Path, rows: Sequence[Trajectory]) -> None:
    """Write one shard. The same rows give the same bytes."""
    _write(path, [row.as_row() for row in rows], TRAJECTORY_SCHEMA)


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """Read one shard, page checksums verified.

    Raises:
        ArtifactError: if the file is damaged or of another schema version.
    """
    return [Trajectory(**row) for row in _read(path, TRAJECTORY_SCHEMA)]


def write_verdicts(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write the verdicts of one shard, in the shard's row order."""
    _write(path, list(rows), VERDICT_SCHEMA)


def read_verdicts(path: str | Path) -> list[dict[str, Any]]:
    """Read verdicts, page checksums verified.

    Raises:
        ArtifactError: if the file is damaged or of another schema version.
    """
    return _read(path, VERDICT_SCHEMA)


def _write(path: str | Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, str(path), compression="zstd", write_page_checksum=True, store_schema=True)


def read_table(path: str | Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """A file as an Arrow table, all of it or some columns, page checksums verified.

    Raises:
        ArtifactError: if the file is damaged or of another schema version.
    """
    try:
        file = pq.ParquetFile(str(path), page_checksum_verification=True)
        table = file.read(columns=None if columns is None else list(columns))
    except (OSError, ValueError, pa.ArrowException) as error:
        forget(path)
        raise ArtifactError(
            f"{path} is damaged ({error}); run the stage again, it alone is recomputed"
        ) from None
    want = (schema.metadata or {})[b"tad.schema"]
    names = list(schema.names if columns is None else columns)
    if (table.schema.metadata or {}).get(b"tad.schema") != want or table.schema.names != names:
        raise ArtifactError(
            f"{path} is not {want.decode()}; it was written by another version: collect again"
        )
    return table


def _read(path: str | Path, schema: pa.Schema) -> list[dict[str, Any]]:
    return list(read_table(path, schema).to_pylist())

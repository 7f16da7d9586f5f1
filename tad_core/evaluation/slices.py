"""The Parquet file of a slice: what a model decoded one way for a range of a task's prompts, not judged yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tad_core.decoding import Decoded

#: 2 counts the full forwards; before, only ways without a cache are read, whose forwards all are.
SCHEMA_VERSION = 2

SLICE_SCHEMA = pa.schema(
    [
        pa.field("place", pa.int32(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
        pa.field("forwards", pa.int32(), nullable=False),
        pa.field("revealed_at", pa.list_(pa.int32()), nullable=False),
        pa.field("stopped_early", pa.bool_(), nullable=False),
        pa.field("wall_s", pa.float64(), nullable=False),
        pa.field("computed", pa.int64(), nullable=False),
        pa.field("full_forwards", pa.int32(), nullable=False),
    ],
    metadata={"tad.schema": f"slice/{SCHEMA_VERSION}"},
)
_COLUMNS = [name for name in SLICE_SCHEMA.names if name != "place"]


def write_slice(path: str | Path, places: Sequence[int], decoded: Sequence[Decoded]) -> None:
    """Write Parquet with page checksums.

    Args:
        path: of the file.
        places: of the problems in their task; their names decide nothing.
        decoded: an answer for each.
    """
    rows = [
        {"place": place, **{name: getattr(one, name) for name in _COLUMNS}}
        for place, one in zip(places, decoded, strict=True)
    ]
    table = pa.Table.from_pylist(rows, schema=SLICE_SCHEMA)
    pq.write_table(table, str(path), write_page_checksum=True, compression="zstd")


def read_slice(path: str | Path) -> dict[int, Decoded]:
    """What ``write_slice`` wrote, by place, verifying its page checksums."""
    rows = pq.read_table(str(path), page_checksum_verification=True).to_pylist()
    return {row.pop("place"): Decoded(**{"full_forwards": row["forwards"], **row}) for row in rows}

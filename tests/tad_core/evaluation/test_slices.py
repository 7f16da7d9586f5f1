"""Slices there and back, and those that were written before full forwards were counted."""

from __future__ import annotations

import pyarrow.parquet as pq

from tad_core.decoding import Decoded
from tad_core.evaluation.slices import read_slice, write_slice

ROWS = [
    Decoded([5, 6, 0, 0], 2, [1, 2, 0, 0], True, 0.5, computed=11, full_forwards=1),
    Decoded([5, 6, 7, 8], 3, [1, 2, 3, 3], False, 0.25, computed=24, full_forwards=3),
]


def test_there_and_back(tmp_path):
    write_slice(tmp_path / "s.parquet", [4, 1], ROWS)
    read = read_slice(tmp_path / "s.parquet")
    assert read == {4: ROWS[0], 1: ROWS[1]}
    counts = [(one.wall_s, one.computed, one.full_forwards) for one in read.values()]
    assert counts == [(0.5, 11, 1), (0.25, 24, 3)]


def test_all_forwards_of_an_earlier_one_were_full(tmp_path):
    write_slice(tmp_path / "new.parquet", [0, 1], ROWS)
    table = pq.read_table(tmp_path / "new.parquet").drop_columns(["full_forwards"])
    pq.write_table(table, tmp_path / "old.parquet", write_page_checksum=True)
    assert [one.full_forwards for one in read_slice(tmp_path / "old.parquet").values()] == [2, 3]

"""Files of every format, whole, broken in places, and broken altogether."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.data.rows import HALF_A_SIGN, Place, Row, read_rows, stamps
from tad_core.data.selection import LeftOut
from tad_core.errors import DataError

ROWS = [{"question": "a\nb", "answer": "1,5"}, {"question": 'say "x"', "answer": "007"}]


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def read(*paths: Path | str, **fields: Any) -> list[Row | LeftOut]:
    return list(read_rows(Place("own", tuple(map(str, paths)), **fields)))


def values(found: list[Row | LeftOut]) -> list[dict[str, Any]]:
    return [row.values for row in found if isinstance(row, Row)]


def write(path: Path) -> Path:
    """``ROWS`` in the format of the suffix."""
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix == ".csv":
        path.write_text('question,answer\n"a\nb","1,5"\n"say ""x""",007\n')
    elif path.suffix == ".tsv":
        path.write_text('question\tanswer\n"a\nb"\t1,5\n"say ""x"""\t007\n')
    else:
        path.write_text(json.dumps(ROWS, indent=1) if path.name == "array.json" else lines)
    return path


@pytest.mark.parametrize(
    "name",
    ["r.jsonl", "r.ndjson", "r.json", "array.json", "r.csv", "r.tsv", "r.parquet", "r.jsonl.gz", "r.JSONL"],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path / name))
    assert values(found) == ROWS
    at = f"{name} row " if name.endswith((".csv", ".tsv", ".parquet")) else f"{name}:"
    assert [(row.where, row.number) for row in found] == [(f"{at}1", "1"), (f"{at}2", "2")]  # type: ignore[union-attr]


@given(
    st.lists(
        st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none()), max_size=3), max_size=4
    )
)
@settings(deadline=None, max_examples=50)
def test_any_json_object_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("json") / "r.jsonl"
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8", "surrogatepass"
    )
    assert values(read(path)) == rows


def test_bad_lines_cost_themselves_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"a": 1}\n\nnot json\n[1]\n"text"\nnull\n3\n{"a": "\xff"}\n{"a": "x"}\n'
        + b"[" * 100_000
        + b"\n"
    )
    found = read(path)
    assert values(found) == [{"a": 1}, {"a": "x"}]
    assert [(item.reason, item.where) for item in found if isinstance(item, LeftOut)] == [
        ("not JSON", "r.jsonl:3"),
        ("not an object but a list", "r.jsonl:4"),
        ("not an object but a str", "r.jsonl:5"),
        ("not an object but a NoneType", "r.jsonl:6"),
        ("not an object but a int", "r.jsonl:7"),
        ("not UTF-8 text", "r.jsonl:8"),
        ("not JSON", "r.jsonl:10"),
    ]


def test_a_column_may_change_its_type(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": 1}\n{"a": "x"}\n{"a": [1]}\n{"b": null}\n')
    assert values(read(path)) == [{"a": 1}, {"a": "x"}, {"a": [1]}, {"b": None}]


def test_csv_cells_stay_text_and_ragged_records_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("q,a\nx,1.50\ny\nz,NA,3\n")
    found = read(path)
    assert values(found) == [{"q": "x", "a": "1.50"}, {"q": "y", "a": None}]
    assert found[2] == LeftOut("more cells than columns", "r.csv row 3")


def test_several_files_give_numbers_that_do_not_meet(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "r.jsonl")
    by_pattern = read(tmp_path / "*" / "r.jsonl")
    by_list = read(tmp_path / "a" / "r.jsonl", tmp_path / "b" / "r.jsonl")
    assert by_pattern == by_list and values(by_list) == ROWS * 2
    assert [row.number for row in by_list] == ["a/r.jsonl/1", "a/r.jsonl/2", "b/r.jsonl/1", "b/r.jsonl/2"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("asked", "beside"), [("r[1].jsonl", "r1.jsonl"), ("r*.jsonl", "rr.jsonl"), ("r?.jsonl", "r1.jsonl")]
)
def test_a_file_is_read_by_its_own_name_before_any_that_it_is_a_pattern_of(
    tmp_path: Path, asked: str, beside: str
) -> None:
    for name in (asked, beside):
        (tmp_path / name).write_text(json.dumps({"question": name}) + "\n")
    assert values(read(tmp_path / asked)) == [{"question": asked}]
    assert [file for file, *_ in stamps(Place("own", (str(tmp_path / asked),)))] == [str(tmp_path / asked)]


def test_only_the_wanted_columns_of_a_table_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"q": ["x"], "big": ["y" * 100]}), path)
    assert values(read(path, columns=frozenset({"q", "absent"}))) == [{"q": "x"}]


def test_a_table_with_none_of_the_columns_has_its_rows_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    path = write(folder / "train.parquet")
    for place in (path, folder):
        assert values(read(place, columns=frozenset({"frage"}))) == ROWS


def test_a_folder_is_read_as_a_data_set_without_network(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.parquet")
    pq.write_table(pa.table({"question": ["held"], "answer": ["1"]}), folder / "test.parquet")
    assert values(read(folder)) == ROWS
    (row,) = read(folder, split="test")
    assert isinstance(row, Row) and row.values["question"] == "held" and row.number == "1"
    assert row.where == f"{folder} test:1"
    (as_hub,) = list(read_rows(Place("own", hub=str(folder), split="test")))
    assert isinstance(as_hub, Row) and as_hub.values == row.values
    with pytest.raises(DataError, match="split dev, cannot be read"):
        read(folder, split="dev")


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    import datasets

    one = datasets.Dataset.from_list(ROWS)
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": one, "test": one.select([1])}).save_to_disk(str(tmp_path / "two"))
    assert values(read(tmp_path / "one")) == ROWS
    assert values(read(tmp_path / "two", split="test")) == ROWS[1:]
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "two", split="dev")


def test_a_hub_data_set_that_cannot_be_had_says_what_to_check() -> None:
    with pytest.raises(
        DataError, match=r"own: the data set nobody/nothing \(c\), split train, cannot .*HF_DATASETS_OFFLINE"
    ):
        list(read_rows(Place("own", hub="nobody/nothing", configs=("c",))))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "is not a file; give a file"),
        ("*.none", None, "is not a file"),
        ("r.xlsx", b"x", "has the suffix '.xlsx'; use one of .jsonl"),
        ("r", b"x", "has the suffix ''"),
        ("r.parquet", b"no parquet", "cannot be read"),
        ("r.json", b"[1, 2", "cannot be read"),
        ("r.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 100, mtime=0)[:-12], "cannot be read"),
        ("r.jsonl.gz", b"no gzip", "cannot be read"),
        ("r.csv", b"q,a\n\xff,1\n", "cannot be read"),
        # Each reader has errors of its own kind for what is damaged.
        ("r.jsonl.gz", _flipped(gzip.compress(b'{"a": 1}\n', mtime=0), 10), "cannot be read"),
        ("r.jsonl.xz", b"no xz", "cannot be read"),
        ("r.jsonl.xz", _flipped(lzma.compress(b'{"a": 1}\n'), 24), "cannot be read"),
        ("r.jsonl.bz2", _flipped(bz2.compress(b'{"a": 1}\n'), 8), "cannot be read"),
        ("r.json", b"[" * 200_000, r"cannot be read \(it is nested too deeply\)"),
        (
            "nowhere://r.jsonl",
            None,
            r"cannot be opened \(Protocol not known: nowhere\); give a file, or a URL",
        ),
        ("zip://r.jsonl::none.zip", None, r"cannot be opened \(.*No such file"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"data source own: .*{message}"):
        read(name if "://" in name else tmp_path / name)


def test_a_date_that_python_has_no_value_for_is_an_error_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"a": ["x"], "when": pa.array([2**55], pa.timestamp("ms"))}), path)
    assert values(read(path, columns=frozenset({"a"}))) == [{"a": "x"}]
    with pytest.raises(DataError, match=r"data source own: .*cannot be read"):
        read(path)


def test_a_text_with_half_a_character_costs_its_row_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    texts = ['"\\ud83d\\ude00"', '"cut \\ud83d"', '["x", "\\ude00"]', '{"\\ud800": 1}', '"y"']
    path.write_text("".join(f'{{"a": {text}, "other": "\\ud800"}}\n' for text in texts))
    found = read(path, columns=frozenset({"a"}))
    assert [row["a"] for row in values(found)] == ["😀", "y"], "in columns that nobody wants it does no harm"
    assert [item for item in found if isinstance(item, LeftOut)] == [
        LeftOut(HALF_A_SIGN, f"r.jsonl:{number}") for number in (2, 3, 4)
    ]
    assert not values(read(path)), "all columns are wanted where none is named"


def test_a_relative_path_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError,
        match=rf"'none.jsonl' is not a file in {tmp_path}; give a file .*, by its whole path or from the folder",
    ):
        list(read_rows(Place("own", paths=("none.jsonl",))))
    with pytest.raises(
        DataError, match=r"'/none.jsonl' is not a file; give a file .* or the folder of a data set$"
    ):
        list(read_rows(Place("own", paths=("/none.jsonl",))))


def test_stamps_change_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl")
    place = Place("own", (str(path),))
    before = stamps(place)
    assert before == stamps(place) and before[0][:2] == (str(path), path.stat().st_size)
    path.write_text(path.read_text() + "{}\n")
    assert stamps(place) != before
    assert stamps(Place("own", hub="a/b")) == []


def test_another_format_than_the_suffix_says(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl").rename(tmp_path / "r.txt")
    assert values(read(path, format=".jsonl")) == ROWS

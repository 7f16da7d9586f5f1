"""A folder, or a data set on the hub, gives the very text that its files give one by one."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tad_core.config import SourceConfig
from tad_core.data.rows import Place, Row, read_rows
from tad_core.data.selection import LeftOut
from tad_core.data.sources import load_source
from tad_core.errors import DataError

CELLS = [
    "None", "NA", "N/A", "nan", "null", "", "007", "1.50", "1e3", "1_000", "-0", "+5", "0x10", "true", "2024-01-31",
    "31/01/2024", "12:30", "1,234", " 5 ", "inf", "9007199254740993", "a\nb", 'say "x"', "½", "1.0",
]  # fmt: skip
MIXED: list[Any] = [
    1,
    "1",
    1.5,
    True,
    None,
    [1, 2],
    {"a": 1},
    "2024-01-31T00:00:00",
    "007",
    2**70,
    0.1,
    "",
    [],
    "x",
]
TYPED = pa.table(
    {
        "question": [f"q{number}" for number in range(4)],
        "answer": pa.array([0.1, 1.5, 1e-7, 16777217.0], pa.float32()),
        "decimal": pa.array([Decimal("1.50"), Decimal("-0.10"), None, Decimal("7.00")], pa.decimal128(9, 2)),
        "day": pa.array([date(2024, 1, 31)] * 4, pa.date32()),
        "when": pa.array([datetime(2024, 1, 31, 12, 30)] * 4, pa.timestamp("us")),
        "many": pa.array([[1, None], [], None, [3]], pa.list_(pa.int8())),
        "text": ["007", "None", None, "NA"],
    }
)


def columns(answers: list[Any]) -> list[dict[str, Any]]:
    return [{"question": f"question {number}", "answer": value} for number, value in enumerate(answers)]


def as_csv(delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["question", "answer"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(columns(CELLS))
    return text.getvalue().encode()


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(TYPED, sink)
    return bytes(sink.getvalue())


def lines(answers: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in columns(answers)).encode()


FILES = {
    "train.csv": as_csv(","),
    "train.tsv": as_csv("\t"),
    "train.jsonl": lines(MIXED),
    "train.json": json.dumps(columns(MIXED)).encode(),
    "train.parquet": as_parquet(),
    "train.ndjson": lines(CELLS) + b'\n[1]\nno json\n{"other": 1}\n',
}


def told(found: list[Row | LeftOut]) -> list[Any]:
    """Values with their types (1, 1.0 and true are equal in Python), numbers, and what was left out."""
    return [(repr(row.values), row.number) if isinstance(row, Row) else str(row.reason) for row in found]


def read(**fields: Any) -> list[Row | LeftOut]:
    return list(read_rows(Place("own", **fields)))


@pytest.mark.parametrize("name", FILES)
def test_a_folder_gives_the_rows_of_its_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    alone = told(read(paths=(str(tmp_path / name),)))
    assert len(alone) >= 4
    assert told(read(paths=(str(tmp_path),))) == alone
    assert told(read(hub=str(tmp_path))) == alone


@pytest.mark.parametrize("name", FILES)
def test_a_problem_has_the_same_texts_from_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    options = {"answer": "answer", "reference": "question", "meta": ["text", "decimal", "day"]}

    def problems(path: Path) -> list[Any]:
        source = SourceConfig(name="own", source="table", options={"path": str(path), **options}, min_count=1)
        return [(p.id, p.question, p.answer, p.meta) for p in load_source(source)]

    alone = problems(tmp_path / name)
    assert problems(tmp_path) == alone and alone


def test_a_card_that_names_files_and_separator(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.csv").write_bytes(as_csv(";"))
    (tmp_path / "data" / "two.csv").write_bytes(as_csv(";"))
    (tmp_path / "other.jsonl").write_bytes(lines(MIXED))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: cells\n  sep: ';'\n  data_files:\n"
        "  - {split: train, path: data/one.csv}\n  - {split: test, path: [data/one.csv, data/two.csv]}\n---\n"
    )
    found = [row for row in read(paths=(str(tmp_path),), configs=("cells",)) if isinstance(row, Row)]
    assert [row.values["answer"] for row in found] == CELLS
    both = [row for row in read(paths=(str(tmp_path),), split="test") if isinstance(row, Row)]
    assert [row.values["answer"] for row in both] == CELLS * 2
    assert [row.number for row in both] == [str(number) for number in range(1, 2 * len(CELLS) + 1)]


def test_what_is_no_plain_file_is_read_by_datasets(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a comment\nquestion,answer\nq,x\np,y\n")
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  skiprows: 1\n  data_files: train.csv\n---\n"
    )
    found = [row for row in read(paths=(str(tmp_path),)) if isinstance(row, Row)]
    assert [row.values for row in found] == [
        {"question": "q", "answer": "x"},
        {"question": "p", "answer": "y"},
    ]
    (part,) = read(paths=(str(tmp_path),), split="train[1:]")
    assert isinstance(part, Row) and part.values["question"] == "p"


def test_a_changed_file_of_the_same_time_is_read_anew(tmp_path: Path) -> None:
    """As rsync or tar leave it; ``datasets`` alone would give the rows of the first."""
    found = []
    for text in ("one", "another"):
        (tmp_path / "train.jsonl").write_bytes(lines([text, "second"]))
        os.utime(tmp_path / "train.jsonl", (1_700_000_000, 1_700_000_000))
        (row,) = read(paths=(str(tmp_path),), split="train[:1]")
        assert isinstance(row, Row)
        found.append(row.values["answer"])
    assert found == ["one", "another"]


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with one data set in it, as its client lays it out; and no network."""
    import huggingface_hub

    folder = tmp_path / "datasets--nobody--rows"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    (snapshot / "train.csv").write_bytes(FILES["train.csv"])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return snapshot


@pytest.mark.parametrize("revision", [None, "a" * 40])
def test_what_was_fetched_from_the_hub_is_read_without_a_network(cached: Path, revision: str | None) -> None:
    found = told(read(hub="nobody/rows", revision=revision))
    assert found == told(read(paths=(str(cached / "train.csv"),)))


def test_files_of_the_hub_are_fetched_and_read_as_they_are(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is two functions here: one that says which files there are, one that fetches them."""
    import datasets
    import huggingface_hub

    (cached / "test.csv").write_bytes(b"question,answer\nq,NA\n")
    local = datasets.load_dataset_builder(str(cached))
    local.config.data_files = {
        split: [f"hf://datasets/nobody/rows@{'b' * 40}/{split}.csv"] for split in ("train", "test")
    }
    asked: list[Any] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append((name, options["revision"], sorted(options["allow_patterns"])))
        return str(cached)

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: local)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = told(read(hub="nobody/rows", revision="v1"))
    assert found == told(read(paths=(str(cached / "train.csv"),)))
    assert asked == [("nobody/rows", "v1", ["README.md", "test.csv", "train.csv"])]


def test_a_folder_whose_name_is_a_pattern_of_another_is_not_mistaken_for_it(tmp_path: Path) -> None:
    for name in ("set[1]", "set1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text(json.dumps({"question": name}) + "\n")
    with pytest.raises(
        DataError, match=r"set\[1\] in its path would be read as a pattern; rename it\); give files"
    ):
        list(read_rows(Place("own", (str(tmp_path / "set[1]"),))))
    (row,) = read_rows(Place("own", (str(tmp_path / "set[1]" / "train.jsonl"),)))
    assert isinstance(row, Row) and row.values == {"question": "set[1]"}

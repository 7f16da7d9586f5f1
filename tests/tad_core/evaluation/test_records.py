"""Points by hand, and the Parquet file there and back."""

import dataclasses

import pyarrow.parquet as pq
import pytest

from tad_core.evaluation.records import RESULT_SCHEMA, Record, points, read_records, write_records


def record(problem, correct, forwards, tokens, text_tokens, wall_s, threshold=0.5):
    return Record(
        "sums", "base", "entropy", threshold, problem, correct, "passed" if correct else "no_answer", forwards,
        tokens, text_tokens, wall_s, "2 + 2 = 4", full_forwards=forwards // 2, computed=7 * forwards,
        reason="4 is not 5",
    )  # fmt: skip


RECORDS = [
    record("a", True, 2, 8, 5, 0.25),
    record("b", False, 4, 10, 10, 0.5),
    record("a", True, 1, 8, 8, 1, 0.9),
]


def test_points_add_up():
    first, second = points(RECORDS)
    assert first == {
        "task": "sums",
        "model": "base",
        "method": "entropy",
        "threshold": 0.5,
        "problems": 2,
        "accuracy": 50.0,
        "tpf": 3.0,  # 18 tokens in 6 forwards, not the mean of 4 and 2.5
        "tpf_text": 2.5,
        "tokens_per_s": 24.0,
        "forwards": 6,
        "nfe": 3.0,
        "full_nfe": 1.5,
        "computed_per_token": pytest.approx(42 / 18),
    }
    assert (second["threshold"], second["problems"], second["accuracy"]) == (0.9, 1, 100.0)


def test_there_and_back(tmp_path):
    path = tmp_path / "results.parquet"
    write_records(path, RECORDS)
    assert read_records(path) == RECORDS
    assert pq.read_schema(path).equals(RESULT_SCHEMA)


def test_a_file_from_before_reasons_were_kept_is_read(tmp_path):
    path = tmp_path / "results.parquet"
    write_records(path, RECORDS)
    pq.write_table(pq.read_table(path).drop_columns("reason"), path)
    assert read_records(path) == [dataclasses.replace(r, reason="") for r in RECORDS]


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "results.parquet"
    write_records(path, RECORDS * 200)
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(data)
    with pytest.raises(OSError):
        read_records(path)


def test_figures_and_subsets_of_a_benchmark(tmp_path):
    def answer(problem, subset, correct, **figures):
        return dataclasses.replace(record(problem, correct, 1, 8, 8, 1.0), subset=subset, figures=figures)

    answers = [
        answer("a", "algebra", True, math_verify=1.0, exact_match=0.0),
        answer("b", "algebra", False, math_verify=1.0, exact_match=0.0),
        answer("c", "geometry", True, math_verify=1.0, exact_match=1.0),
        answer("d", "algebra", False, math_verify=0.0, exact_match=0.0),
    ]
    (point,) = points(answers)
    assert point["accuracy"] == 50.0
    assert point["figures"] == {"math_verify": 75.0, "exact_match": 25.0}
    assert point["subsets"] == {
        "algebra": {"problems": 3, "accuracy": pytest.approx(100 / 3)},
        "geometry": {"problems": 1, "accuracy": 100.0},
    }
    write_records(tmp_path / "r.parquet", answers)
    assert read_records(tmp_path / "r.parquet") == answers


@pytest.mark.parametrize("gone", [("subset", "figures"), ()])
def test_records_of_an_earlier_release_are_read_without_what_was_not_counted(tmp_path, gone):
    write_records(tmp_path / "new.parquet", RECORDS)
    later = ["full_forwards", "computed", *gone]
    table = pq.read_table(tmp_path / "new.parquet").drop_columns(later)
    pq.write_table(table, tmp_path / "old.parquet", write_page_checksum=True)
    read = read_records(tmp_path / "old.parquet")
    assert read == [dataclasses.replace(r, full_forwards=None, computed=None) for r in RECORDS]
    for one in (read, [*RECORDS[:1], *read[1:]]):
        assert (points(one)[0]["full_nfe"], points(one)[0]["computed_per_token"]) == (None, None)
        assert points(one)[0]["nfe"] == 3.0

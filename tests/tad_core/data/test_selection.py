from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.selection import Candidate, Item, LeftOut, Selection, left_out_rows, select
from tad_core.data.sources import load_all
from tad_core.errors import DataError


def source(**kwargs: object) -> SourceConfig:
    return SourceConfig.model_validate({"name": "s", "source": "table", **kwargs})


def problem(number: int, question: str = "", id_: str = "") -> Problem:
    return Problem(id_ or f"s/{number}", "s", "math", question or f"q{number}", "r", answer="1")


def take(config: SourceConfig, items: Iterable[Item], *rest: Any, **fields: Any) -> Selection:
    return select(config, lambda: items, *rest, **fields)


def no_odd(problems: Sequence[Problem]) -> list[str]:
    return ["odd" if int(p.id.partition("/")[2]) % 2 else "" for p in problems]


def test_all_are_taken_and_bad_rows_counted_by_reason_with_the_first_places() -> None:
    items = [
        problem(0),
        *(LeftOut("missing answer", f"f:{i}") for i in range(2, 10)),
        LeftOut("not JSON", "f:10"),
    ]
    found = take(source(min_count=1), items)
    assert [p.id for p in found.problems] == ["s/0"]
    assert found.left_out == {"missing answer": 8, "not JSON": 1}
    assert found.examples == {"missing answer": ["f:2", "f:3", "f:4", "f:5", "f:6"], "not JSON": ["f:10"]}
    assert found.rows == 10


def test_count_takes_the_first_usable_ones_and_looks_no_further() -> None:
    looked: list[int] = []

    def items() -> object:
        for i in range(10_000):
            looked.append(i)
            yield problem(i)

    found = select(source(count=3), items, no_odd)  # type: ignore[arg-type]
    assert [p.id for p in found.problems] == ["s/0", "s/2", "s/4"]
    assert found.left_out == {"odd": 2} and len(looked) < 200


def test_what_a_check_refuses_is_replaced_across_batches() -> None:
    found = take(source(count=150), [problem(i) for i in range(1000)], no_odd)
    assert [p.id for p in found.problems] == [f"s/{2 * i}" for i in range(150)]


@given(rows=st.integers(1, 300), count=st.integers(1, 300), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_random_sample_is_keyed(rows: int, count: int, seed: int) -> None:
    """More of the same sample begins with less of it, and rows that go take only themselves."""
    count = min(rows, count)
    items = [problem(i) for i in range(rows)]
    taken = [p.id for p in take(source(count=count, sample="random", seed=seed), items).problems]
    every = [p.id for p in take(source(sample="random", seed=seed), items).problems]
    assert taken == every[:count] and sorted(every) == sorted(p.id for p in items)
    fewer = [p for p in items if p.id != every[0]]
    if fewer:
        assert [p.id for p in take(source(sample="random", seed=seed), fewer).problems] == every[1:]


def test_of_a_small_sample_few_rows_are_made_problems_and_more_if_many_are_bad() -> None:
    made: list[int] = []
    reads: list[int] = []

    def candidate(i: int, bad: bool) -> Candidate:
        def make() -> Problem | LeftOut:
            made.append(i)
            return LeftOut("bad", f"f:{i}") if bad else problem(i)

        return Candidate(f"s/{i}", make)

    def read(share: int) -> list[Item]:
        reads.append(1)
        return [LeftOut("not JSON", "f:0"), *(candidate(i, i % 100 >= share) for i in range(5000))]

    found = select(source(count=20, sample="random"), lambda: read(100))
    assert len(found.problems) == 20 and len(made) < 200 and len(reads) == 1
    assert found.left_out == {"not JSON": 1}
    reads.clear()
    few = select(source(count=20, sample="random", min_count=1), lambda: read(2))
    assert len(few.problems) == 20 and len(reads) > 1
    assert few.left_out["not JSON"] == 1 and few.left_out["bad"] > 200
    every = take(source(sample="random", min_count=1), read(2)).problems
    assert [p.id for p in few.problems] == [p.id for p in every[:20]]


def test_another_seed_is_another_sample() -> None:
    items = [problem(i) for i in range(100)]
    samples = [
        {p.id for p in take(source(count=10, sample="random", seed=s), items).problems} for s in (0, 1)
    ]
    assert samples[0] != samples[1] and samples[0] != {p.id for p in items[:10]}


def test_duplicates_are_left_out_by_id_and_by_content() -> None:
    items = [
        problem(0),
        problem(1, id_="s/0"),
        problem(2, question="q0"),
        problem(3, question=" q0\n"),
        problem(4),
    ]
    found = take(source(min_count=1), items)
    assert [p.id for p in found.problems] == ["s/0", "s/4"]
    assert found.left_out == {"duplicate id": 1, "duplicate problem": 2}
    assert found.examples["duplicate problem"] == ["s/2 and s/0 of s", "s/3 and s/0 of s"]


def test_both_rows_of_a_duplicate_are_named() -> None:
    items = [Candidate(f"s/{i % 2}", partial(problem, i % 2), f"f.csv:{i + 1}") for i in range(3)]
    found = take(source(min_count=1), items)
    assert found.examples == {"duplicate id": ["f.csv:3 and f.csv:1: s/0"]}


def test_the_same_question_with_another_solution_is_another_problem() -> None:
    one = Problem("s/0", "s", "math", "q", "one way", answer="1")
    other = Problem("s/1", "s", "math", "q", "another way", answer="1")
    assert len(take(source(), [one, other]).problems) == 2


@pytest.mark.parametrize(
    ("fields", "good", "bad", "message"),
    [
        ({}, 9, 1, ""),
        ({}, 8, 2, r"8 of 10 rows can be used and at least 9 are needed; left out: no JSON 2 \(f:0, f:1\)"),
        ({"min_count": 8}, 8, 2, ""),
        ({"min_count": 9}, 8, 2, "at least 9 are needed"),
        ({"count": 10}, 9, 1, ""),
        ({"count": 10}, 8, 2, "at least 9 are needed"),
        ({"count": 11}, 10, 0, "it has 10 problems and count is 11; lower count"),
        (
            {"count": 11},
            3,
            1,
            r"4 rows, of which are left out: no JSON 1 \(f:0\), and count is 11; mend the data, lower",
        ),
        ({"count": 11, "min_count": 10}, 10, 0, ""),
        ({"min_count": 1}, 0, 3, "0 of 3 rows"),
        ({}, 0, 0, "it is empty"),
        ({"min_count": 1}, 0, 0, "it is empty"),
    ],
)
def test_a_run_starts_only_if_enough_is_left(
    fields: dict[str, object], good: int, bad: int, message: str
) -> None:
    items = [LeftOut("no JSON", f"f:{i}") for i in range(bad)] + [problem(i) for i in range(good)]
    if not message:
        assert len(take(source(**fields), items).problems) == good
        return
    with pytest.raises(DataError, match=message):
        take(source(**fields), items)


def test_a_share_that_leaves_nothing_says_which_split_is_empty() -> None:
    given = source(split="heldout", options={"heldout_share": 0.2})
    with pytest.raises(
        DataError, match=r"none of its rows is of split heldout: heldout_share 0\.2 .* heldout_path"
    ):
        take(given, [])
    with pytest.raises(DataError, match=r"none of its rows is of split train: .*; give more rows$"):
        take(source(options={"heldout_share": 0.9}), [])


def test_enough_can_be_all() -> None:
    items = [LeftOut("no JSON", "f:0"), *(problem(i) for i in range(99))]
    assert len(take(source(), items).problems) == 99
    with pytest.raises(DataError, match="at least 100 are needed"):
        take(source(), items, enough=1.0)


def test_a_problem_of_an_earlier_source_is_a_duplicate_in_a_later_one() -> None:
    sums = {"source": "arithmetic", "count": 5, "options": {"min_steps": 1, "max_steps": 1}}
    first = SourceConfig.model_validate({"name": "a", **sums})
    again = SourceConfig.model_validate({"name": "b", **sums, "count": 6, "min_count": 1})
    loaded = load_all([first, again])
    assert len(loaded.problems) == 6
    assert loaded.left_out == {"a": {}, "b": {"duplicate problem": 5}}
    assert loaded.examples["b"]["duplicate problem"][0] == "b/train/0/0 and a/train/0/0 of a"


def test_ids_are_unique_over_all_sources(tmp_path: Path) -> None:
    """A name may hold a slash, so that ids of two sources can meet."""
    (tmp_path / "one.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    (tmp_path / "two.jsonl").write_text('{"question": "2+2?", "answer": "4", "key": "more/1"}\n')
    sources = [
        SourceConfig(name="own/more", source="jsonl", options={"path": str(tmp_path / "one.jsonl")}),
        SourceConfig(name="own", source="jsonl", options={"path": str(tmp_path / "two.jsonl"), "id": "key"}),
    ]
    with pytest.raises(
        DataError, match=r"two\.jsonl:1 of source own and one\.jsonl:1 of source own/more both"
    ):
        load_all(sources)


def test_rows_for_a_table() -> None:
    info = {
        "left_out": {"math": {"empty box": 2, "not JSON": 7}, "gsm8k": {}},
        "left_out_examples": {"math": {"empty box": ["m:1", "m:2"], "not JSON": ["m:9"]}},
    }
    assert left_out_rows(info) == [("math", "not JSON", 7, "m:9"), ("math", "empty box", 2, "m:1, m:2")]
    assert left_out_rows({}) == []

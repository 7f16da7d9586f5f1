"""GSM8K, MATH, KodCode, tables: from rows to problems, and what each refuses."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.selection import Selection
from tad_core.data.sources import load_source, select_from
from tad_core.data.sources._files import split_of
from tad_core.data.sources.kodcode import entry_point
from tad_core.errors import ConfigError, DataError


def load(kind: str, rows: Sequence[Any], folder: Path, **fields: Any) -> Selection:
    """What the source ``kind`` makes of ``rows`` in a file of JSON lines; one usable row is enough."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"path": str(path), **fields.pop("options", {})}
    tree = {"name": "own", "source": kind, "min_count": 1, "options": options, **fields}
    return select_from(SourceConfig.model_validate(tree))


def reasons(found: Selection) -> dict[str, list[str]]:
    assert {reason: len(places) for reason, places in found.examples.items()} == found.left_out
    return found.examples


GSM = {"question": "2+2?", "answer": "2+2=<<2+2=4>>4\n#### 4"}


def test_gsm8k(tmp_path: Path) -> None:
    answers = ["It is 1,234.\n#### 1,234 ", "no mark", "x ####"]
    questions = [None, 5, " "]
    rows = [
        GSM,
        *({**GSM, "answer": a} for a in answers),
        {"question": "q"},
        *({**GSM, "question": q} for q in questions),
    ]
    found = load("gsm8k", rows, tmp_path)
    assert found.problems == [
        Problem("own/train/1", "own", "math", "2+2?", GSM["answer"], "4", meta={"math_kind": "number"}),
        Problem(
            "own/train/2", "own", "math", "2+2?", rows[1]["answer"], "1,234", meta={"math_kind": "number"}
        ),
    ]
    assert reasons(found) == {
        "no answer after ####": ["rows.jsonl:3", "rows.jsonl:4"],
        "no column 'answer' (answer)": ["rows.jsonl:5"],
        "missing question": ["rows.jsonl:6", "rows.jsonl:8"],
        "question of type int": ["rows.jsonl:7"],
    }


def test_math_takes_the_last_box(tmp_path: Path) -> None:
    rows = [
        {"problem": "p", "solution": r"so \boxed{1}, no: \boxed{\frac{1}{2}}", "level": "Level 5", "type": "Algebra"},
        {"question": "q", "solution": r"\boxed{3}", "subject": "Algebra", "unique_id": "train/algebra/3.json"},
        {"problem": "p3", "solution": r"none: \boxed{}"},
        {"problem": "p4", "solution": "nothing at all"},
        {"problem": "p5"},
    ]  # fmt: skip
    found = load("math", rows, tmp_path)
    assert [(p.id, p.question, p.answer) for p in found.problems] == [
        ("own/train/1", "p", r"\frac{1}{2}"),
        ("own/train/train/algebra/3.json", "q", "3"),
    ]
    assert found.problems[0].meta == {"math_kind": "expression", "level": "Level 5", "type": "Algebra"}
    assert reasons(found) == {
        "empty box": ["rows.jsonl:3"],
        "no box in the solution": ["rows.jsonl:4"],
        "no column 'solution' (solution)": ["rows.jsonl:5"],
    }


def test_math_with_a_column_of_answers(tmp_path: Path) -> None:
    rows = [
        {"problem": "a", "solution": "long", "answer": "7"},
        {"problem": "b", "solution": r"\boxed{8}", "answer": ""},
        {"problem": "c", "solution": "long", "answer": 9},
        {"problem": "d", "solution": "long", "answer": [1]},
    ]
    found = load("math", rows, tmp_path, options={"answer": "answer"})
    assert [p.answer for p in found.problems] == ["7", "8", "9"]
    assert reasons(found) == {"answer of type list": ["rows.jsonl:4"]}


KOD = {
    "question_id": "A_1",
    "question": "Write f.",
    "solution": "def f():\n    return 1",
    "test": "from solution import f\n\ndef test_f():\n    assert f() == 1",
    "style": "instruct",
    "subset": "Algorithm",
}


@pytest.mark.parametrize("column", ["test", "test_code"])
def test_kodcode_in_both_spellings(tmp_path: Path, column: str) -> None:
    row = {("test_code" if k == "test" and column == "test_code" else k): v for k, v in KOD.items()}
    (problem,) = load("kodcode", [row], tmp_path).problems
    assert problem == Problem(
        "own/train/A_1", "own", "code", "Write f.", KOD["solution"], tests=KOD["test"],
        meta={"style": "instruct", "subset": "Algorithm", "entry_point": "f"},
    )  # fmt: skip


def test_kodcode_refuses_tests_that_can_be_seen_to_test_nothing(tmp_path: Path) -> None:
    unit = "class T(unittest.TestCase):\n    def test_x(self): self.assertEqual(f(), 1)"
    check = "def check(candidate):\n    raise ValueError"
    kinds = ["assert f() == 1", "", "x = 1", "def f(: pass", unit, check, "def helper():\n    return 3"]
    rows = [{**KOD, "question_id": str(i), "test": tests} for i, tests in enumerate(kinds)]
    found = load("kodcode", [*rows, {k: v for k, v in KOD.items() if k != "test"}], tmp_path)
    assert [p.id for p in found.problems] == ["own/train/0", "own/train/4", "own/train/5"]
    assert reasons(found) == {
        "missing tests": ["rows.jsonl:2"],
        "tests that test nothing": ["rows.jsonl:3", "rows.jsonl:7"],
        "tests are not Python": ["rows.jsonl:4"],
        "no column 'test' or 'test_code' (tests)": ["rows.jsonl:8"],
    }


def test_a_question_that_holds_the_solution_is_refused(tmp_path: Path) -> None:
    given = {**KOD, "question": f"Improve this:\n{KOD['solution']}\n"}
    found = load("kodcode", [given, KOD], tmp_path)
    assert len(found.problems) == 1 and reasons(found) == {
        "the question holds the solution": ["rows.jsonl:1"]
    }


def info(*names: str) -> list[dict[str, str]]:
    return [{"function_name": name} for name in names]


@pytest.mark.parametrize(
    ("test_info", "tests", "solution", "expected"),
    [
        (info("f"), "assert f() == 1", "def f(): return 1", "f"),
        (info("f", "g"), "assert f() == 1", "def f(): return 1\ndef g(): return 2", ""),  # which one is asked for?
        (info("get"), "assert C().get() == 1", "class C:\n    def get(self): return 1", ""),  # a method
        (None, "from solution import f\nassert f()", "def f(): return 1", "f"),
        (None, "from solution import *\nassert f()", "def f(): return 1", ""),
        (None, "from solution import f, g\nassert f()", "def f(): return 1\ndef g(): return 1", ""),
        (None, "assert f()", "def f(): return 1", ""),
        ([None, "x"], "from solution import f\nassert f()", "def f(): return 1", "f"),
    ],
)  # fmt: skip
def test_the_function_that_is_asked_for(test_info: object, tests: str, solution: str, expected: str) -> None:
    assert entry_point(test_info, ast.parse(tests), solution) == expected


def test_a_question_that_is_the_head_of_a_program_is_its_prompt(tmp_path: Path) -> None:
    head = 'import math\n\ndef f():\n    """ Return one. """\n'
    (problem,) = load("kodcode", [{**KOD, "question": head}], tmp_path).problems
    assert problem.meta["prompt"] == head


def test_a_table_maps_its_columns(tmp_path: Path) -> None:
    rows = [{"frage": "q1", "weg": "w", "wert": 3, "nr": 12, "stufe": "leicht", "art": {"a": 1}}]
    options = {"question": "frage", "reference": "weg", "answer": "wert", "id": "nr", "meta": ["stufe", "art", "none"],
               "math_kind": "number"}  # fmt: skip
    (problem,) = load("table", rows, tmp_path, options=options, split="heldout").problems
    assert problem == Problem(
        "own/heldout/12", "own", "math", "q1", "w", "3",
        meta={"stufe": "leicht", "art": "{'a': 1}", "math_kind": "number"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "answer"),
    [("so\n#### 4", "4"), (r"so \boxed{5}", "5"), ("6", "6"), (r"\boxed{7} #### 8", "8")],
)
def test_a_table_without_a_column_of_answers_looks_into_the_reference(
    tmp_path: Path, reference: str, answer: str
) -> None:
    (problem,) = load("table", [{"question": "q", "answer": reference}], tmp_path).problems
    assert problem.answer == answer


def test_a_column_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    rows = [{"question": "q1", "solution": "r"}, {"question": "q", "solutoin": "r", "level": 3}]
    found = load("table", rows, tmp_path, options={"reference": "solution"})
    assert reasons(found) == {
        "no column 'solution' (reference); did you mean 'solutoin'?": ["rows.jsonl:2"],
    }


def test_a_table_of_programs(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": "r", "tests": "assert f()", "name": "f", "head": "def f():"},
            {"question": "q2", "answer": "r", "tests": "assert f()", "head": "def f():"},
            {"question": "q3", "answer": "r", "name": "f", "head": "def f():"}]  # fmt: skip
    options = {"kind": "code", "entry_point": "name", "prompt": "head"}
    found = load("table", rows, tmp_path, options=options)
    (problem,) = found.problems
    assert problem.meta == {"entry_point": "f", "prompt": "def f():"} and problem.tests == "assert f()"
    assert reasons(found) == {
        "no column 'name' (entry_point)": ["rows.jsonl:2"],
        "no column 'tests' (tests)": ["rows.jsonl:3"],
    }


def test_columns_of_other_names_lead_to_the_options_that_name_them(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{i}", "output": "1"} for i in range(3)]
    for source in ("table", "jsonl"):
        with pytest.raises(
            DataError, match=r"no column 'answer' .*; say by the source's options which column is"
        ):
            load(source, rows, tmp_path, min_count=1)


def test_ids_from_a_column_are_unique_and_needed(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": "1", "nr": nr} for i, nr in enumerate(["a", "b", "a", None, 1.5])]
    found = load("table", rows, tmp_path, options={"id": "nr"})
    assert [p.id for p in found.problems] == ["own/train/a", "own/train/b", "own/train/1.5"]
    assert reasons(found) == {
        "duplicate id": ["rows.jsonl:3 and rows.jsonl:1: own/train/a"],
        "missing id": ["rows.jsonl:4"],
    }


def test_jsonl_is_a_table_of_lines_with_short_ids(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": "#### 1", "nr": "n7"}]
    assert load("jsonl", rows, tmp_path).problems[0].id == "own/1"
    assert load("jsonl", rows, tmp_path, options={"id": "nr"}).problems[0].id == "own/n7"
    with pytest.raises(
        DataError, match="2 of 3 rows can be used and at least 3 are needed; left out: not JSON 1"
    ):
        (tmp_path / "x.txt").write_text(
            '{"question": "q", "answer": "1"}\n{"question": "r", "answer": "1"}\n{\n'
        )
        load_source(SourceConfig(name="own", source="jsonl", options={"path": str(tmp_path / "x.txt")}))


def test_files_of_each_split(tmp_path: Path) -> None:
    held = tmp_path / "held.jsonl"
    held.write_text(json.dumps({**GSM, "question": "held?"}) + "\n")
    for split, expected in (("train", "2+2?"), ("heldout", "held?")):
        (problem,) = load("gsm8k", [GSM], tmp_path, split=split, options={"heldout_path": str(held)}).problems
        assert (problem.question, problem.id) == (expected, f"own/{split}/1")


def test_one_file_split_by_hash(tmp_path: Path) -> None:
    rows = [{**GSM, "question": f"{i}+{i}?"} for i in range(400)]
    options = {"heldout_share": 0.25}
    train, held = (
        load("gsm8k", rows, tmp_path, split=split, options=options).problems for split in ("train", "heldout")
    )
    questions = {p.question for p in train}, {p.question for p in held}
    assert len(train) + len(held) == 400 and not questions[0] & questions[1]
    assert 70 < len(held) < 130
    # Of more rows, those that were there stay where they were; white space does not move a question.
    more = load("gsm8k", [{**GSM, "question": "new?"}, *rows], tmp_path, split="heldout", options=options)
    assert {p.question for p in more.problems} - {"new?"} == questions[1]
    assert split_of(" a  b\n", 0.5) == split_of("a b", 0.5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("table", {}, "option path is missing"),
        ("table", {"path": "x", "hub": "a/b"}, "path and hub exclude each other"),
        ("table", {"path": "x", "kind": "prose"}, "option kind is 'prose'; use math or code"),
        ("table", {"path": "x", "math_kind": "set"}, "use nothing or number or expression"),
        ("table", {"path": 3}, "option path is 3; it takes a text or a list of texts"),
        ("table", {"path": "x", "questoin": "q"}, "did you mean question"),
        ("gsm8k", {"path": "x", "heldout_share": 1}, "use 0 .* or a share below 1"),
        ("gsm8k", {"path": "x", "format": "jsonl"}, "option format is 'jsonl'; use one of .jsonl"),
        ("gsm8k", {"question": "q"}, "option 'question' is not known"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(kind: str, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"data source own: .*{message}"):
        load_source(SourceConfig.model_validate({"name": "own", "source": kind, "options": options}))


@pytest.mark.parametrize(
    ("kind", "split", "shown"),
    [
        ("gsm8k", "train", r"openai/gsm8k \(main\), split train"),
        ("gsm8k", "heldout", r"openai/gsm8k \(main\), split test"),
        ("math", "train", r"EleutherAI/hendrycks_math \(algebra\), split train"),
        ("kodcode", "train", "KodCode/KodCode-V1, split train"),
    ],
)
def test_without_a_file_the_hub_is_asked(kind: str, split: str, shown: str) -> None:
    """Offline, as tests are, that fails; the message says what was asked for."""
    with pytest.raises(DataError, match=f"the data set {shown}, cannot be read"):
        load_source(SourceConfig.model_validate({"name": "own", "source": kind, "split": split}))


def test_a_hub_layout_with_parquet_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {**KOD, "test_info": info("f"), "metadata": {"row_id": 3}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train-00000-of-00001.parquet")
    for options in ({"path": str(tmp_path)}, {"hub": str(tmp_path)}):
        (problem,) = load_source(
            SourceConfig.model_validate({"name": "own", "source": "kodcode", "options": options})
        )
        assert problem.id == "own/train/A_1" and problem.meta["entry_point"] == "f"


@pytest.mark.parametrize("kind", ["table", "jsonl"])
def test_tests_may_be_a_list_as_in_mbpp(kind: str, tmp_path: Path) -> None:
    row = {
        "text": "Write f.",
        "code": "def f():\n    return 1",
        "test_list": ["assert f() == 1", "assert f() < 2"],
    }
    rows = [row, {**row, "text": "a", "test_list": []}, {**row, "text": "b", "test_list": ["assert f()", 5]}]
    mapping = {"kind": "code", "question": "text", "reference": "code", "tests": "test_list"}
    found = load(kind, rows, tmp_path, options=mapping)
    (problem,) = found.problems
    assert problem.tests == "assert f() == 1\nassert f() < 2"
    assert reasons(found) == {
        "missing tests": ["rows.jsonl:2"],
        "tests with an item of type int": ["rows.jsonl:3"],
    }


def test_a_file_of_another_format_is_sent_to_the_source_that_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("question,answer\nOne and one?,#### 2\n")
    given = {"name": "own", "source": "jsonl", "options": {"path": str(file)}}
    with pytest.raises(ConfigError, match=r"own\.csv' is not a file of JSON lines; use source: table"):
        load_source(SourceConfig.model_validate(given))
    with pytest.raises(ConfigError, match=r"source 'csv' is not known; table reads files of \.csv"):
        load_source(SourceConfig.model_validate({**given, "source": "csv"}))
    assert len(load_source(SourceConfig.model_validate({**given, "source": "table"}))) == 1
    file.write_text('{"question": "One and one?", "answer": "#### 2"}\n')
    said = {**given, "options": {"path": str(file), "format": ".jsonl"}}
    assert len(load_source(SourceConfig.model_validate(said))) == 1

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tad_core.data.problem import Problem, problem_lines, read_problem_lines
from tad_core.errors import DataError

#: what ``str.splitlines`` takes for the end of a line, besides the line feed
ENDS = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("end", ENDS)
def test_no_character_of_a_question_ends_its_line(tmp_path: Path, end: str) -> None:
    problems = [Problem(f"p/{i}", "s", "math", f"one{end}two\nthree", f"{end}", "1") for i in range(2)]
    path = tmp_path / "problems.jsonl"
    path.write_text(problem_lines(problems), encoding="utf-8")
    assert read_problem_lines(path) == problems


@given(
    st.lists(
        st.builds(
            Problem,
            id=st.just("p"),
            source=st.text(),
            kind=st.just("code"),
            question=st.text(st.characters(codec="utf-8")).map(lambda t: f"?{t}"),
            reference=st.text(st.characters(codec="utf-8")),
            tests=st.just("assert f"),
        ),
        max_size=3,
    )
)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, problems: list[Problem]) -> None:
    path = tmp_path_factory.mktemp("lines") / "problems.jsonl"
    path.write_text(problem_lines(problems), encoding="utf-8")
    assert read_problem_lines(path) == problems


@pytest.mark.parametrize("text", ["{", '{"id": "a"}\n', "[]\n", "3\n"])
def test_what_is_no_problem_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"problems.jsonl cannot be read as problems .*; collect again"):
        read_problem_lines(path)

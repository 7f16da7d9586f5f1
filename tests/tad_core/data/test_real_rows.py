"""Every row of the public files, from source through prompts to the record that is kept; none is lost unnamed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tad_core.config import SourceConfig
from tad_core.data import prompts
from tad_core.data.problem import Problem, problem_lines, read_problem_lines
from tad_core.data.selection import Selection
from tad_core.data.sources import load_all, select_from
from tests.conftest import SHARED_DATA
from tests.tad_core.data import chat_tokenizers

FILES = {"gsm8k": "gsm8k_train.jsonl", "math": "math_train.jsonl", "kodcode": "kodcode_demo.jsonl"}
#: name -> rows of the file, what is left out of it, with the rows
EXPECTED: dict[str, tuple[int, dict[str, list[str]]]] = {
    "gsm8k": (7473, {}),
    "math": (7500, {"empty box": ["math_train.jsonl:5342", "math_train.jsonl:5344"]}),
    "kodcode": (
        232,
        {
            "duplicate problem": ["kodcode_demo.jsonl:232 and kodcode_demo.jsonl:225 of kodcode"],
            "the question holds the solution": ["kodcode_demo.jsonl:205"],
        },
    ),
}


def source(name: str, **fields: Any) -> SourceConfig:
    path = SHARED_DATA / FILES[name]
    if not path.exists():
        pytest.skip(f"the public data file {path.name} is not beside the project")
    return SourceConfig.model_validate(
        {"name": name, "source": name, "options": {"path": str(path)}, **fields}
    )


@pytest.fixture(scope="module")
def loaded() -> dict[str, Selection]:
    return {name: select_from(source(name)) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_problem_or_named(loaded: dict[str, Selection], name: str) -> None:
    found, (rows, left_out) = loaded[name], EXPECTED[name]
    assert found.rows == rows and found.examples == left_out
    assert len(found.problems) == rows - sum(map(len, left_out.values()))
    assert len({p.id for p in found.problems}) == len(found.problems)
    assert {p.kind for p in found.problems} == {"code" if name == "kodcode" else "math"}
    assert all(p.reference.strip() and p.question.strip() for p in found.problems)


@pytest.mark.parametrize("name", FILES)
def test_every_problem_comes_back_from_the_record(
    loaded: dict[str, Selection], name: str, tmp_path: Path
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(problem_lines(loaded[name].problems), encoding="utf-8")
    assert read_problem_lines(path) == loaded[name].problems


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("family", ["llada", "dream"])
def test_every_prompt_shows_what_it_should_and_hides_the_rest(
    loaded: dict[str, Selection], name: str, family: str
) -> None:
    """The rendered text of all three prompts of every problem; their tokens for every fiftieth."""
    tokenizer = getattr(chat_tokenizers, family)([])
    for i, problem in enumerate(loaded[name].problems):
        plain = prompts.plain_messages(problem)[0]["content"]
        privileged = prompts.privileged_messages(problem)[0]["content"]
        assert problem.question in plain and problem.question in privileged
        assert f"\nReference Answer: {problem.reference}\nAfter understanding the reference" in privileged
        assert "Reference Answer" not in plain and problem.reference not in plain
        if i % 50 == 0:
            student = prompts.render(tokenizer, prompts.plain_messages(problem))
            assert plain.strip() in student
            system = prompts.with_system_reference(student, problem.reference, family)  # type: ignore[arg-type]
            note = f"\n\nReference Answer: {problem.reference}"
            assert system.count(note) == 1 and system.replace(note, "", 1) != system
            for condition in ("plain", "privileged"):
                assert len(prompts.teacher_prompt(tokenizer, problem, condition)) > 10  # type: ignore[arg-type]


def test_answers_of_known_rows(loaded: dict[str, Selection]) -> None:
    by_id = {p.id: p for found in loaded.values() for p in found.problems}
    assert by_id["gsm8k/train/1"].answer == "72"
    assert by_id["math/train/1"].answer == "0"
    assert by_id["math/train/6628"].answer == r"\mbox{four}"
    assert by_id["math/train/7302"].answer.startswith(r"\begin{pmatrix} 0 & 3")
    assert all(
        p.answer.replace(",", "").lstrip("-").isdigit() or "." in p.answer for p in loaded["gsm8k"].problems
    )


def test_the_answer_column_of_math_is_used_where_it_is_filled(loaded: dict[str, Selection]) -> None:
    """It is empty in four rows of the file; two of them have a box all the same."""
    path = SHARED_DATA / FILES["math"]
    found = select_from(source("math", options={"path": str(path), "answer": "answer"}))
    assert found.examples == EXPECTED["math"][1]
    column = [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()]
    boxes = {p.id: p.answer for p in loaded["math"].problems}
    for problem in found.problems:
        given = column[int(problem.id.rpartition("/")[2]) - 1].strip()
        assert problem.answer == (given or boxes[problem.id])
    assert sum(not given.strip() for given in column) == 4


def test_all_three_together_and_a_part_of_each(loaded: dict[str, Selection]) -> None:
    parts = load_all([source(name, count=50, sample="random", seed=3) for name in FILES])
    assert Counter(p.source for p in parts.problems) == dict.fromkeys(FILES, 50)
    every = {p.id: p for found in loaded.values() for p in found.problems}
    assert all(every[p.id] == p for p in parts.problems)


def judged(problems: list[Problem]) -> dict[str, tuple[str, str]]:
    from tad_core.verify import Verifier, VerifyConfig

    with Verifier(VerifyConfig(workers=2)) as verifier:
        texts = [f"```python\n{p.reference}\n```" if p.kind == "code" else p.reference for p in problems]
        judgements = verifier.judge(problems, texts)
    return {
        p.id: (str(j.verdict), j.reason) for p, j in zip(problems, judgements, strict=True) if not j.correct
    }


@pytest.mark.parametrize("stride", [60, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_every_references_own_answer_passes_the_verifier(loaded: dict[str, Selection], stride: int) -> None:
    """What a source takes for the answer, and what the verifier finds in the reference, are the same thing."""
    problems = [p for name in ("gsm8k", "math") for p in loaded[name].problems[::stride]]
    assert judged(problems) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kodcodes_solutions_pass_their_tests(loaded: dict[str, Selection]) -> None:
    """As problems of the source, with the function that is asked for and the head of the program where there is one."""
    failed = judged(loaded["kodcode"].problems)
    # Two need numpy; four bring their own copy of the function and so test nothing of the program.
    assert len(failed) <= 6, failed

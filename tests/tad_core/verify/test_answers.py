"""Answers in the style of real models, each with the verdict a careful reader gives (``answers/README.md``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Verdict, Verifier, VerifyConfig, extract_answer
from tests.tad_core.verify.conftest import read_data

HERE = Path(__file__).parent / "answers"
MARK = "@@@ "
#: a problem of the head of an answer and what stands behind its verdict
Make = Callable[[str, str], Problem]


def gsm8k() -> Make:
    rows = read_data("gsm8k_train.jsonl")

    def make(row: str, _: str) -> Problem:
        question, solution = rows[int(row)]["question"], rows[int(row)]["answer"]
        answer = extract_answer(solution, ("hashes",)).replace(",", "")
        return Problem(f"g/{row}", "gsm8k", "math", question, solution, answer=answer)

    return make


def math() -> Make:
    rows = read_data("math_train.jsonl")

    def make(row: str, question: str) -> Problem:
        if question:  # a problem of our own, whose answer stands in the place of the row
            return Problem("x", "math", "math", question, row, answer=row)
        found: dict[str, Any] = rows[int(row)]
        answer = extract_answer(found["solution"], ("boxed",))
        return Problem(f"m/{row}", "math", "math", found["problem"], found["solution"], answer=answer)

    return make


def humaneval() -> Make:
    rows = read_data("HumanEval.jsonl.gz")

    def make(row: str, _: str) -> Problem:
        found = rows[int(row)]
        meta = {"entry_point": found["entry_point"], "prompt": found["prompt"]}
        solution = found["canonical_solution"]
        return Problem(
            f"h/{row}", "humaneval", "code", found["prompt"], solution, tests=found["test"], meta=meta
        )

    return make


def mbpp() -> Make:
    def make(name: str, tests: str) -> Problem:
        return Problem(f"b/{name}", "mbpp", "code", f"Write {name}.", "", tests=tests.replace(" ;; ", "\n"))

    return make


def answers(file: str) -> list[tuple[list[str], str]]:
    """The fields of each head, and the answer below it."""
    parts = f"\n{(HERE / file).read_text(encoding='utf-8')}".split(f"\n{MARK}")[1:]
    heads_and_texts = [part.partition("\n") for part in parts]
    return [
        ([field.strip() for field in f"{head} | ".split(" | ", 3)], text.removesuffix("\n"))
        for head, _, text in heads_and_texts
    ]


@pytest.mark.parametrize(
    ("file", "source", "least"),
    [
        ("gsm8k.txt", gsm8k, 260),
        ("math.txt", math, 390),
        ("humaneval.txt", humaneval, 120),
        ("mbpp.txt", mbpp, 25),
    ],
)
def test_the_verdict_is_that_of_a_careful_reader(file: str, source: Callable[[], Make], least: int) -> None:
    make, cases = source(), answers(file)
    assert len(cases) >= least
    problems = [make(fields[0], fields[3].removesuffix(" |")) for fields, _ in cases]
    with Verifier(VerifyConfig(workers=2)) as verifier:
        judgements = verifier.judge(problems, [text for _, text in cases])
    other = []
    for (fields, text), judgement in zip(cases, judgements, strict=True):
        expected, _, missed = fields[2].partition(" ")
        passes = (expected == "right") != bool(missed)
        if (judgement.verdict is Verdict.PASSED) is not passes:
            other.append((fields[0], fields[1], fields[2], text, judgement.reason))
    assert other == []

"""The public data sets: nothing right is lost, nothing wrong is let through."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import ast
import random

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Judgement, MathVerdict, Verdict, Verifier, VerifyConfig, extract_answer
from tad_core.verify.code import copies_in
from tad_core.verify.math import quick_equal
from tests.tad_core.verify.conftest import read_data, require

BOX = ("boxed",)


def spellings(number: str) -> list[str]:
    """Eight ways to write one of GSM8K's answers."""
    plain = number.replace(",", "")
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    return [
        plain, f"{sign}${digits}", f"{sign}\\${digits}", f"\\boxed{{{plain}}}", f"{plain}.00" if "." not in plain else f"{plain}0",
        f"{int(plain):,}" if "." not in plain else plain, f"{plain} dollars", f"\\boxed{{{plain}\\%}}",
    ]  # fmt: skip


def boxes() -> list[str]:
    return [extract_answer(row["solution"], BOX) for row in read_data("math_train.jsonl")]


def judge_math(pairs: list[tuple[str, str]]) -> list[Judgement]:
    """Judge (prediction, reference) pairs through the whole verifier."""
    problems = [Problem(f"m{i}", "math", "math", "q", "r", answer=want) for i, (_, want) in enumerate(pairs)]
    with Verifier(VerifyConfig(workers=2)) as verifier:
        return verifier.judge(problems, [f"so \\boxed{{{got}}}" for got, _ in pairs])


def mismatched(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Random pairs of MATH answers that are not written alike, half of them of hard forms."""
    chance = random.Random(seed)
    answers = [answer for answer in boxes() if answer]
    hard = [answer for answer in answers if not answer.lstrip("-").isdigit()]
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        pool = answers if len(pairs) < count // 2 else hard
        got, want = chance.choice(pool), chance.choice(pool)
        if got.replace(" ", "") != want.replace(" ", ""):
            pairs.append((got, want))
    return pairs


@pytest.mark.parametrize("stride", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_every_gsm8k_reference_equals_itself_in_eight_spellings(stride: int) -> None:
    rows = read_data("gsm8k_train.jsonl")[::stride]
    for row in rows:
        answer = extract_answer(row["answer"], ("hashes",))
        for spelling in spellings(answer):
            assert quick_equal(spelling, answer, "number") is MathVerdict.EQUAL, (spelling, answer)
            assert quick_equal(spelling, answer, "expression") is MathVerdict.EQUAL, (spelling, answer)


@pytest.mark.parametrize("stride", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_the_right_number_is_found_in_every_gsm8k_solution_and_the_next_is_refused(stride: int) -> None:
    rows = read_data("gsm8k_train.jsonl")[::stride]
    for row in rows:
        answer = extract_answer(row["answer"], ("hashes",))
        found = extract_answer(row["answer"])
        assert quick_equal(found, answer, "number") is MathVerdict.EQUAL
        other = str(int(answer.replace(",", "").partition(".")[0]) + 1)
        assert quick_equal(other, answer, "number") is MathVerdict.DIFFERENT


@pytest.mark.parametrize("stride", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_math_references_equal_themselves(stride: int) -> None:
    answers = boxes()[::stride]
    equal = sum(quick_equal(answer, answer) is MathVerdict.EQUAL for answer in answers)
    assert len(answers) - equal <= 10  # two boxes of the 7,500 are empty in the source


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_math_references_survive_the_algebra() -> None:
    """Another spelling, so that text alone cannot decide: the algebra must read nearly all references."""
    answers = [answer for answer in boxes() if answer and not answer.lstrip("-").isdigit()]
    pairs = [
        (f"{answer}+0" if answer[-1] not in ")]}%." else f"0+{answer}", answer)
        for answer in answers
        if "=" not in answer
    ]
    judgements = judge_math(pairs)
    wrong = [
        pair
        for pair, judgement in zip(pairs, judgements, strict=True)
        if judgement.verdict is Verdict.TIMEOUT
    ]
    assert wrong == []


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_mismatched_pairs_are_refused(count: int) -> None:
    pairs = mismatched(count)
    judgements = judge_math(pairs)
    accepted = [pair for pair, judgement in zip(pairs, judgements, strict=True) if judgement.correct]
    # 5/2 and 2.5 are written differently and are the same: at most one such chance in 5,000.
    assert len(accepted) <= 1, accepted
    assert not any(judgement.verdict is Verdict.TIMEOUT for judgement in judgements)


def humaneval_problems() -> list[Problem]:
    return [
        Problem(row["task_id"], "humaneval", "code", row["prompt"], row["canonical_solution"], tests=row["test"],
                meta={"entry_point": row["entry_point"], "prompt": row["prompt"]})
        for row in read_data("HumanEval.jsonl.gz")
    ]  # fmt: skip


@pytest.mark.parametrize("each", [pytest.param(1, marks=pytest.mark.slow), 4], ids=["all", "every fourth"])
@pytest.mark.parametrize("number", [1, 2], ids=["tier1", "tier2"])
def test_humaneval_canonical_solutions_pass_and_constant_ones_fail(number: int, each: int) -> None:
    problems = humaneval_problems()[::each]
    right = [f"```python\n{problem.question}{problem.reference}\n```" for problem in problems]
    bodies = [problem.reference for problem in problems]
    constant = [f"```python\n{problem.question}    return 1234567\n```" for problem in problems]
    with Verifier(VerifyConfig(workers=2, sandbox=require(number))) as verifier:  # type: ignore[arg-type]
        for texts, verdict in ((right, Verdict.PASSED), (bodies, Verdict.PASSED), (constant, Verdict.FAILED)):
            judgements = verifier.judge(problems, texts)
            wrong = [
                (p.id, j.verdict, j.reason)
                for p, j in zip(problems, judgements, strict=True)
                if j.verdict is not verdict
            ]
            assert wrong == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kodcode_solutions_pass_but_for_those_that_cannot_be_judged() -> None:
    rows = read_data("kodcode_demo.jsonl")
    problems = [
        Problem(row["question_id"], "kodcode", "code", "q", row["solution"], tests=row["test"])
        for row in rows
    ]
    with Verifier(VerifyConfig(workers=2)) as verifier:
        judgements = verifier.judge(problems, [f"```python\n{row['solution']}\n```" for row in rows])
        copied = [p for p in problems if copies_in(p.tests, p.reference)]
        wrong = verifier.judge(copied, [_doing_nothing(p.reference) for p in copied])
    others = {p.id: (j.verdict, j.reason) for p, j in zip(problems, judgements, strict=True) if not j.correct}
    assert len(others) == 2 and {verdict for verdict, _ in others.values()} == {Verdict.MISSING_PACKAGE}, (
        others
    )
    assert len(copied) == 4 and {j.verdict for j in wrong} <= {Verdict.FAILED, Verdict.NO_TESTS}


def _doing_nothing(program: str) -> str:
    """The program with functions of the same names that return nothing."""
    tree = ast.parse(program)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Pass()]
    return f"```python\n{ast.unparse(tree)}\n```"

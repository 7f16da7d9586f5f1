"""Answers that leave open which of two values they mean, and answers of several parts."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import time

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.hedges import is_denied, says_the_same
from tad_core.verify.math import MathKind

#: texts with two values, and those values: neither is an answer
OPEN = [
    (r"So \boxed{5} or \boxed{6}.", "5", "6"), (r"$\boxed{5}$, $\boxed{6}$", "5", "6"), (r"\(\boxed{5}\) or \(\boxed{6}\)", "5", "6"), (r"\boxed{5} \boxed{6}", "5", "6"), (r"\boxed{5}; \boxed{6}", "5", "6"),
    (r"\boxed{\text{B}} or \boxed{\text{C}}", "B", "C"), (r"\boxed{5} or 6", "5", "6"), (r"\boxed{5} or maybe 6", "5", "6"), (r"\boxed{5} (or 6)", "5", "6"), (r"\boxed{5} or six", "5", "6"), (r"\boxed{B} or C", "B", "C"),
    ("The answer is **5** or **6**.", "5", "6"), ("The answer is $x=5$ or $x=6$.", "5", "6"), (r"The answer is \(5\) or \(6\).", "5", "6"), ("The answer is about 5 or 6.", "5", "6"), ("The answer is the 5 or the 6.", "5", "6"),
    ("The answer is just between 3 and 4.", "3", "4"), ("It is between 3 and 4.", "3", "4"), ("It is 5 or 6", "5", "6"), ("It's $5$ or six.", "5", "6"), ("so 5/6 or 7", "5/6", "7"), ("That is maybe 5", "5", "5"),
    ("It could be 5.", "5", "5"), ("Is it 5", "5", "5"), ("could it be $5$", "5", "5"), ("Let us see whether it is equal to 5.", "5", "5"), ("The answer is: is it 5", "5", "5"), ("perhaps $5$", "5", "5"), ("Is it 5?", "5", "5"), ("The answer is 5? No, it can't be.", "5", "5"), ("The answer is the square root of 25.", "25", "25"), ("It is neither 5 nor 6.", "5", "6"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "one", "other"), OPEN)
def test_who_names_two_values_has_answered_neither(text: str, one: str, other: str) -> None:
    answer = extract_answer(text)
    assert answer
    assert math_equal(answer, one) is not MathVerdict.EQUAL
    assert math_equal(answer, other) is not MathVerdict.EQUAL


#: texts that name a value and say, or ask, that it is not the answer
DENIED = [
    (r"The answer is not $\boxed{2}$.", "2"), (r"So it cannot be $\boxed{2}$.", "2"), (r"$x \ne \boxed{2}$", "2"), (r"$\boxed{2}$ is incorrect.", "2"), (r"$\boxed{7}$. However, $\boxed{8}$ is wrong.", "8"), (r"Let me assume that $\boxed{2}$ is not correct", "2"),
    (r"$x=\boxed{-2}$, which is impossible.", "-2"), (r"$\boxed{2}$?", "2"), (r"$\boxed{2}$ is not a valid answer", "2"), (r"\boxed{2}. Wait, that is not right.", "2"), ("The answer is 2. This is incorrect.", "2"), ("The answer is 2, which is wrong.", "2"),
    ("The answer is $2$, which is impossible.", "2"), ("I don't think the answer is 2", "2"), ("I doubt that the answer is 2.", "2"), ("We need to check whether the answer is 2.", "2"), ("Suppose the answer is 2.", "2"),
    ("It can't be that the answer is 2.", "2"), ("Nobody knows if the answer is $2$.", "2"), ("I am not sure that the final answer is 2.", "2"), ("So it is 2, which is wrong", "2"), ("She has 2 apples, which is wrong.", "2"), (r"\boxed{2} cm, which is impossible", "2"), ("Hence $\\boxed{2}$. But this is wrong because order matters.", "2"), ("The answer is undefined at x = 2", "2"),
    ("The answer is the number of primes below 2", "2"), ("The answer is the number of primes below 12", "12"), ("The answer is a multiple of 2.", "2"), ("The answer is the inverse of 2", "2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), DENIED)
@pytest.mark.parametrize("kind", ["number", "expression"])
def test_what_is_denied_is_no_answer(text: str, value: str, kind: MathKind) -> None:
    answer = extract_answer(text)
    assert answer
    assert math_equal(answer, value, kind) is not MathVerdict.EQUAL


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 5. Let us see if the answer is 6.", "5"),
        ("The answer is 5. I am sure that the answer is correct.", "5"),
        ("It is not hard to see that the answer is 5.", "5"),
        ("If n = 2, the answer is 5.", "5"),
        (r"so $r=\boxed{6}$ (it cannot be negative because it is a length).", "6"),
        (r"$\boxed{6}$, because it is impossible that there are more.", "6"),
        (r"$\boxed{5.5}$, which is not an integer", "5.5"),
        (r"Sam did not work for $\boxed{6}$ days", "6"),
        (r"$\boxed{2}$ is wrong, it should be $\boxed{3}$", "3"),
        ("The answer is option **B**.", "B"),
        ("She has 2 apples, which is not impossible.", "2"),
        (r"Thus $x \ne 3$.", r"(-\infty,3)\cup(3,\infty)"),
        ("The answer is the number of pairs, 12.", "12"),
    ],
)
def test_denials_of_other_things_change_nothing(text: str, answer: str) -> None:
    assert math_equal(extract_answer(text), answer) is MathVerdict.EQUAL


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"$k = \boxed{5}$ or $k = \boxed{-3}$.", "5, -3"),
        (r"the points \boxed{(-2,18)} and \boxed{(8,38)}.", "(-2,18), (8,38)"),
        (r"\boxed{5} \boxed{5}", "5"),
        (r"\boxed{2-b}, or \boxed{-b+2}", "2-b"),
        (r"\boxed{\frac12} or 0.5.", "1/2"),
        (r"\boxed{0.5} or 50%", "0.5"),
        (r"\boxed{5}, or 10/2", "5"),
        (r"\boxed{5} or so", "5"),
        (r"\boxed{5}. Wait, \boxed{6}", "6"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        ("The answer is $5$ or $6$.", "5, 6"),
        ("The answer is the sum of both, 12.", "12"),
        ("What is it? It is 12", "12"),
        ("How many is it:\n12", "12"),
        ("So that is 12, and this is 12", "12"),
        ("from 7 to -3", "-3"),
        ("She has 7 and 8", "8"),
        ("It costs 5 or more on some days, so 7 is right", "7"),
    ],
)
def test_several_parts_and_the_same_again_are_one_answer(text: str, answer: str) -> None:
    assert math_equal(extract_answer(text), answer) is MathVerdict.EQUAL


def test_what_says_the_same() -> None:
    assert says_the_same("0.5", r"\frac12") and says_the_same("50%", "0.5") and says_the_same("a+b", "b+a")
    assert not says_the_same("5", "6") and not says_the_same("x", "y") and not says_the_same("5", "six")


@pytest.mark.parametrize("behind", ["x" * 100_000, "xy " * 40_000, "was " + "x" * 100_000])
def test_what_goes_on_long_behind_a_value_takes_no_longer_than_its_length(behind: str) -> None:
    used = time.process_time()
    assert not is_denied(f"5 {behind}", 0, 1)
    assert time.process_time() - used < 5

"""Answers in the words for numbers that a question counts in."""

from __future__ import annotations

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Verdict, Verifier
from tad_core.verify.asked import as_asked, counted_in, in_units

DOZEN = "Ann bakes 60 muffins. How many dozen muffins does she bake?"
MILLIONS = "A town has 26,000,000 people. What is its population in millions?"


@pytest.mark.parametrize(
    ("question", "word"),
    [
        (DOZEN, "dozen"), (MILLIONS, "million"), ("How many dozens of eggs are left?", "dozen"),
        ("How many more dozen does she need?", "dozen"), ("Give your answer in thousands of dollars.", "thousand"),
        ("Find the number of hundreds in 4,512.", "hundred"), ("How many eggs are in 5 dozen?", None),
        ("Eggs are sold in dozens. How many eggs are in two boxes?", None),
        ("She has 3 million. How much is left?", None),
        ("Which digit is in the hundreds place?", None), ("What is the number in the millions column?", None),
        ("How many dozenal digits are there?", None), ("How many thousand people, and how many million?", "million"),
    ],
)  # fmt: skip
def test_what_a_question_counts_in(question: str, word: str | None) -> None:
    assert counted_in(question) == word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She bakes 5 dozen muffins.", "She bakes 5 units muffins."), ("It is 5 dozens of eggs", "It is 5 units eggs"),
        (r"\boxed{5 \text{ dozen}}", r"\boxed{5 \text{ units}}"), ("$5$ dozen", "$5$ units"),
        ("a dozen", "a dozen"), ("5 dozenal", "5 dozenal"),
        ("**5** Dozen", "**5** Dozen"),
    ],
)  # fmt: skip
def test_the_word_as_a_unit(text: str, expected: str) -> None:
    assert in_units(text, "dozen") == expected


@pytest.mark.parametrize(
    ("question", "text", "reference", "right"),
    [
        (DOZEN, "She bakes 60 / 12 = 5 dozen muffins.", "5", True),
        (DOZEN, "She bakes 5 dozen.", "5", True),
        (DOZEN, r"So the answer is \boxed{5 \text{ dozen}}.", "5", True),
        (DOZEN, "#### 5 dozen", "5", True),
        (DOZEN, "#### 5", "5", True),
        (DOZEN, "She bakes 6 dozen.", "5", False),
        (DOZEN, "She bakes 60 muffins.", "5", False),
        (DOZEN, "She bakes 5 dozen.", "60", True),  # a reference that is no answer to its question, and the same value
        ("How many muffins does she bake?", "She bakes 5 dozen.", "5", False),
        ("How many muffins does she bake?", "She bakes 5 dozen.", "60", True),
        (MILLIONS, "The population is 26 million.", "26", True),
        (MILLIONS, "The population is 26 million.", "26000000", True),
        (MILLIONS, "The population is 26 billion.", "26", False),
        (MILLIONS, "The population is 26,000,000.", "26", False),
    ],
)  # fmt: skip
def test_an_answer_in_it_is_the_number(question: str, text: str, reference: str, right: bool) -> None:
    for source in ("gsm8k", "math"):
        problem = Problem("p/1", source, "math", question, "r", answer=reference)
        with Verifier() as verifier:
            (judgement,) = verifier.judge([problem], [text])
        assert (judgement.verdict is Verdict.PASSED) == right, (source, judgement)


PAIR = "The line $y = mx + b$ passes through two points. Find the ordered pair $(b, m)$."
BASE = "What is $2343_6+15325_6$? Express your answer in base $6$."


@pytest.mark.parametrize(
    ("question", "text", "reference", "right"),
    [
        (PAIR, r"\boxed{m = -1, b = 2}", "(2,-1)", True),
        (PAIR, r"\boxed{b = 2, m = -1}", "(2,-1)", True),
        (PAIR, r"\boxed{(2, -1)}", "(2,-1)", True),
        (PAIR, r"\boxed{m = 2, b = -1}", "(2,-1)", False),
        ("Find the ordered triple $(z,x,y)$.", "So $x = 1$, $y = 2$, $z = 3$.", "(3,1,2)", True),
        ("Find the ordered triple $(z,x,y)$.", r"\boxed{x = 3, y = 1, z = 2}", "(3,1,2)", False),
        (r"Find $\left( \theta, r \right)$.", r"\boxed{r = 1, \theta = 2}", "(2,1)", True),
        ("Let $f(y,x) = x - y$. Solve for both.", r"\boxed{x = 1, y = 2}", "(1,2)", True),  # of a function
        ("Find $(x,y)$; note $(y,x)$ is none.", r"\boxed{x = 1, y = 2}", "(1,2)", True),
        ("If $(x,y)$ is one, enter $(y,x)$.", r"\boxed{x = 1, y = 2}", "(1,2)", False),
        ("Both $(x,y)$ and $(y,x)$ are solutions.", r"\boxed{x = 1, y = 2}", "(1,2)", True),  # the usual order
        ("Find $(x,y)$.", r"\boxed{y = 2, z = 1}", "(2,1)", True),  # not the names of the question
        (BASE, r"\boxed{22112}", "22112_6", True),
        (BASE, r"The sum is $22112_6$ in base 6.", "22112_6", True),
        (BASE, r"\boxed{22112_{10}}", "22112_6", False),
        (BASE, r"\boxed{22121}", "22112_6", False),
        ("Express eleven in base two.", "Eleven in base 2 is $1011$.", "1011_2", True),
        ("Convert $813_9$ to base 3.", r"\boxed{-220110}", "220110_3", False),
        ("What is $11_2 + 1$?", r"\boxed{100}", "100_2", False),  # nothing says that it is meant in base 2
    ],
)  # fmt: skip
def test_an_answer_is_read_as_the_question_asks_for_it(
    question: str, text: str, reference: str, right: bool
) -> None:
    problem = Problem("p/1", "math", "math", question, "r", answer=reference)
    with Verifier() as verifier:
        (judgement,) = verifier.judge([problem], [text])
    assert (judgement.verdict is Verdict.PASSED) == right, judgement


def test_what_is_not_asked_for_is_as_it_was() -> None:
    assert as_asked("m = -1, b = 2", "2", PAIR) == "m = -1, b = 2"
    assert as_asked("22112", "22112", BASE) == "22112"
    assert as_asked("5", "5", "") == "5"

"""Answers without a digit in the last sentence of a text."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import time

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import MathVerdict, Verdict, Verifier, VerifyConfig, extract_answer, math_equal
from tad_core.verify.config import DEFAULT_ORDER
from tad_core.verify.statements import is_of_words, last_statement

ODD, NAME, YES = r"\text{odd}", r"\text{Evelyn}", r"\text{Yes}"

RIGHT = [
    ("The function is odd.", ODD), ("Therefore, the function is **odd**.", ODD), ("f is an odd function.", ODD), ("f is an odd function.", r"\text{odd function}"), ("Since f(-2) = -f(2), the function is odd.", ODD), ("It is odd because f(-2) = -f(2).", ODD), ("Thus $f(x)$ is odd.\n\nI hope this helps!", ODD),
    ("The function is neither even nor odd.", r"\text{neither}"), ("$f(x)$ is an $\\text{odd}$ function.", ODD), ("odd", ODD),
    ("Evelyn has the greatest speed of 4.5 miles per hour.", NAME), ("Therefore, **Evelyn**.", NAME), ("So **Evelyn** has the greatest average speed.", NAME), ("The student with the greatest speed is Evelyn.", NAME), ("### Final Answer\n\nEvelyn", NAME), ("The winner is:\n\n**Evelyn**", NAME),
    ("100 days from now will be a Tuesday.", r"\text{Tuesday}"), ("The 100th day falls on a Tuesday.", r"\text{Tuesday}"), ("Counting 7 days, we get Monday.", r"\text{Monday}"), ("This represents a parabola.", r"\text{parabola}"), ("Thus the conic is a hyperbola with center (1, 2).", r"\text{hyperbola}"), ("This is the equation of an ellipse.", r"\text{ellipse}"),
    ("Yes, because 3 + 4 = 7.", YES), ("Yes.", YES), ("No, it is not.", r"\text{No}"), ("The statement is true.", r"\text{True}"), ("There is no solution.", r"\text{no solution}"), ("It has no real solutions.", r"\emptyset"), ("The limit does not exist.", r"\text{DNE}"),
    ("Option B is correct.", "B"), ("**B**", "B"), ("(B)", "B"), ("(B) is the correct answer.", "B"), ("B) 12", "B"), ("So it is an ellipse, (B).", "B"), ("Therefore, the correct choice is option B.", "B"),
    ("The simplified form is $x$.", "x"), (r"So the area is $\pi$.", r"\pi"), ("So the area is π.", r"\pi"), ("The circumference is π units.", r"\pi"), ("So the result is a + b.", "a+b"), (r"The limit is $\infty$.", r"\infty"), ("Thus $f = x+y$.", "x+y"), ("= a^n", "a^n"), (r"The derivative of $\sin x$ is $\cos x$.", r"\cos x"), ("Therefore:\n\\[\nx+y\n\\]", "x+y"), ("there are $n$ terms", "n"),
    ("So:\n\\begin{align*}\na &= b + c \\\\\n&= x - y.\n\\end{align*}", "x-y"), ("The equation is y = x.", "y=x"), ("The point is (a, b).", "(a,b)"), ("Thus, $D, E$ are always true.", "D, E"),
    ("The roots are $a$ and $b$.", "a, b"), ("Evelyn's average speed is the greatest.", NAME), ("So it is $x$ (see 2).", "x"),
    ("The only graphs where it has an inverse are $\\text{B,C}$.", r"\text{B,C}"), ("This is true only for choice $\\text{(A)}$.", r"\text{(A)}"), ("It has no solution, so it is the empty set.", r"\emptyset"), ("There are no solutions because x is not real.", r"\emptyset"), ("The area is $\\pi$ square units.", r"\pi"), ("Thus the sum of the roots is $a$.", "a"), ("It is $a$, where $a$ is a side.", "a"), ("It simplifies to $x+y$ when expanded.", "x+y"), ("No, f is not even.", r"\text{No}"),
]  # fmt: skip

WRONG = [
    ("The function is not odd.", ODD), ("The function is neither even nor odd.", ODD), ("The function is even if n is odd.", ODD), ("If n is even, then the function is odd.", ODD), ("It is odd or even.", ODD), ("It might be odd.", ODD), ("Is it odd?", ODD), ("It isn't odd", ODD), ("It is even, not odd.", ODD), ("Maybe it is odd", ODD),
    ("Evelyn is the fastest. Carla is the slowest.", NAME), ("It is Evelyn or Carla.", NAME), ("It is not Evelyn.", NAME), ("It could be Evelyn.", NAME), ("Either Evelyn", NAME), ("Let Evelyn be the fastest.", NAME),
    ("Yes or no", YES), ("No.", YES), ("The statement is not true.", r"\text{True}"), ("There is a solution.", r"\text{no solution}"), ("Are there no solutions?", r"\text{no solution}"), ("Option B is incorrect.", "B"), ("It is not B", "B"), ("The correct option is (C), not (B).", "B"),
    ("The point is $(a,b)$.", "(b,a)"), (r"The derivative of $\sin x$ is $\cos x$.", r"\sin x"), ("The value is -π.", r"\pi"), ("The equation is y = x.", "y=-x"),
    ("We can eliminate option B", "B"), ("All are right except (B)", "B"), ("So we rule out (B)", "B"), ("I reject choice (B).", "B"), ("The wrong one is option B.", "B"),
    (r"The area is half of $\pi$.", r"\pi"), (r"The area is twice $\pi$.", r"\pi"), (r"The value is greater than $\pi$.", r"\pi"), (r"It is close to $\pi$", r"\pi"), ("The length is $x$ times $y$.", "x"), ("The length is $x$ minus $y$.", "x"), ("It is the square root of $x$.", "x"), ("It is $x$ squared.", "x"),
    ("The function is even if n is odd.", r"\text{even}"), ("The function is odd when n is even.", ODD), ("f is odd unless n is even", ODD), ("The function fails to be odd.", ODD), ("It is $a$ if $b$ is positive, and $b$ otherwise", "b"), ("Evelyn has the least except Carla.", NAME),
    ("It is false that it has no solution.", r"\text{no solution}"), ("It is not true that there is no solution.", r"\text{no solution}"), ("The first has no solution, so x must be real.", r"\emptyset"), ("There are no solutions other than $x$.", r"\emptyset"), ("There is no solution unless x is real.", r"\emptyset"), ("The left limit does not exist, but the limit is $\\pi$.", r"\text{DNE}"), ("It is wrong that the limit does not exist.", r"\text{DNE}"),
    (r"The area is 2 $\pi$.", r"\pi"), (r"The area is 4$\pi$", r"\pi"), (r"the area is $\pi$/2", r"\pi"), (r"It is -$\pi$", r"\pi"), ("The value is $x$^2", "x"), ("The value is $x$ + 1", "x"), ("The sum is 3 + $x$", "x"), ("The roots are $a$ and $b$", "a"), ("The roots are $a$ and $b$", "b"),
    ("Evelyn's sister is the fastest.", NAME), ("The system has no solutions in integers but has real ones", r"\emptyset"),
    ("No, wait: yes.", r"\text{No}"), ("Yes, sorry, no.", YES),
]  # fmt: skip


def passes(text: str, reference: str) -> bool:
    answer = extract_answer(text, DEFAULT_ORDER, reference)
    return bool(answer) and math_equal(answer, reference) is MathVerdict.EQUAL


def test_what_a_last_sentence_says_in_words_or_letters() -> None:
    assert [case for case in RIGHT if not passes(*case)] == []
    assert [case for case in WRONG if passes(*case)] == []


def test_only_references_without_digits_ask_for_statements() -> None:
    assert is_of_words(ODD) and not is_of_words("5") and not is_of_words("")
    assert extract_answer("It is 5. So the claim is true.", DEFAULT_ORDER, "5") == "5"
    assert extract_answer("The answer is 5. So the claim is true.", DEFAULT_ORDER, ODD) == "5"
    assert extract_answer("It is 5. So the claim is true.", ("the_answer_is",), ODD) == ""


def test_the_verifier_looks_for_them() -> None:
    problem = Problem("m/0", "math", "math", "Odd or even?", "It is odd.", answer=ODD)
    texts = ["The function is odd.", "The function is even."]
    with Verifier(VerifyConfig(workers=1)) as verifier:
        verdicts = [judgement.verdict for judgement in verifier.judge([problem] * 2, texts)]
    assert verdicts == [Verdict.PASSED, Verdict.DIFFERENT]


@pytest.mark.parametrize(
    "text",
    ["is " * 30_000, "$x" * 30_000, "**a" * 30_000, "Since " * 20_000, "\\begin{align}" * 9_000, "A. " * 30_000, "\n" * 90_000],
)  # fmt: skip
def test_long_texts_take_no_time(text: str) -> None:
    begun = time.process_time()
    last_statement(text)
    assert time.process_time() - begun < 0.5

"""Spellings outside plain LaTeX are brought to it, and nothing else is."""

from __future__ import annotations

import time

import pytest

from tad_core.verify.math_spelling import spelled


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("2½", r"2\frac{1}{2}"),
        ("x²+10⁻³", "x^{2}+10^{-3}"),
        ("x₁", "x_{1}"),
        ("πr", r"\pi r"),
        ("2sqrt(3)/3", r"2\sqrt{3}/3"),
        ("sqrt(1+sqrt(2))", r"\sqrt{1+\sqrt{2}}"),
        ("sin(2x)", r"\sin (2x)"),
        ("2**10", "2^10"),
        ("2pi", r"2\pi"),
        (r"\color{red}{5}", "{5}"),
        (r"\large 5", "5"),
        (r"5^{\text{o}}", r"5^\circ"),
        (r"\text{5 apples}", "5 apples"),
        (r"\text{The answer is } 12", "12"),
        (r"\text{The answer is 12}", "12"),
        (r"\text{Mean: } 5", "5"),
        (r"\begin{aligned} x &= 3 \\ y &= 4 \end{aligned}", "x = 3, y = 4"),
        (r"5 \\", "5"),
        ('"B"', "B"),
        (r"\text{all real numbers}", r"\mathbb{R}"),
    ],
)
def test_one_spelling(answer: str, text: str) -> None:
    assert spelled(answer).strip() == text


@pytest.mark.parametrize(
    "answer",
    [
        r"\text{at least } 5",
        "x: 5",
        r"\sqrt{(",
        "pint",
        "cost(x)",
        r"\begin{cases} x & x>0 \\ 1 & x<0 \end{cases}",
        "f'(x)",
        r"\text{about 5}",
    ],
)
def test_what_is_plain_or_means_more_stays(answer: str) -> None:
    assert spelled(answer) == answer


@pytest.mark.parametrize(
    "text", ["sqrt(" * 20_000, "\\;" * 50_000 + "5", "½" * 50_000, "The answer is " * 10_000]
)
def test_long_texts_of_one_thing_take_no_longer_than_their_length(text: str) -> None:
    used = time.process_time()
    spelled(text[:1000])
    assert time.process_time() - used < 1

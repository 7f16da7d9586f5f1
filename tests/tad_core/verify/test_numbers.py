"""The last number of a text, or the formula around it."""

from __future__ import annotations

import time

import pytest

from tad_core.verify.numbers import last_value


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $x = \frac{3}{4}$.", r"x = \frac{3}{4}"),
        (r"the area is \(36\pi\) in all", r"36\pi"),
        ("\\[ a = 1 \\\\ b = \\sqrt{2} \\]", r"b = \sqrt{2}"),
        ("\\begin{align*}\nx &= 3+4 \\\\\n  &= 7\n\\end{align*}", "7"),
        (
            "\\begin{align*}\nx &= 3+4 \\\\\n \\Rightarrow \\quad x &= \\sqrt{7}\n\\end{align*}",
            r"x = \sqrt{7}",
        ),
        ("She has $5 and gets $6 more.", "6"),
        ("It costs 3 * $2 = $6.", "6"),
        ("It is $5$.", "5"),
        ("in $x$ there are 7", "7"),
        ("the roots are $x=2$ and $x=3$.", "x=2, x=3"),
        ("the roots are $x=2$, $x=3$ or $x = 4$.", "x=2, x=3, x = 4"),
        ("as $x=2$ we have $y=3$.", "y=3"),
        ("so $n + 1 = 7$, $n = 6$.", "n = 6"),
        ("so $a = 3$, $c = 5$ and $a + c = 8$.", "a + c = 8"),
        ("$x=1$, $y=2$ and $y=3$", "y=2, y=3"),
        (r"so $a+2=3 \Rightarrow a=1$.", "a=1"),
        (r"\[ 2x = 8 \implies x = 4 \]", "x = 4"),
        ("", ""),
    ],
)
def test_the_last_value(text: str, answer: str) -> None:
    assert last_value(text) == answer


def test_a_formula_that_is_left_open_is_no_answer() -> None:
    assert last_value("maybe $x = 5$") != "x = 5"


@pytest.mark.parametrize(
    "text",
    [
        "\\[1" * 50_000,
        "$1" * 50_001,
        "\\begin{align}1" * 20_000,
        "1 " * 100_000,
        "1 + " * 50_000,
        "12,34," * 9_000,
    ],
)
def test_long_texts_of_one_thing_take_no_longer_than_their_length(text: str) -> None:
    used = time.process_time()
    last_value(text)
    assert time.process_time() - used < 3

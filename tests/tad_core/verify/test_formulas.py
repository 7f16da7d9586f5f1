"""The formula in prose that a number is part of."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import time

import pytest

from tad_core.verify.formulas import formula_around, is_another_name
from tad_core.verify.numbers import last_value


def around_last(text: str) -> str | None:
    at = max(i for i, char in enumerate(text) if char.isdigit())
    start = at
    while start and text[start - 1].isdigit():
        start -= 1
    found = formula_around(text, start, at + 1)
    return text[slice(*found)] if found else None


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("So it is 2x + 3.", "2x + 3"),
        ("So x > 5, at least", "x > 5"),
        ("Either x < 2 or x > 5.", "x < 2 or x > 5"),
        ("the power 2^5 of it", "2^5"),
        ("(which is (x - 1)(x + 3))", "(x - 1)(x + 3)"),
        ("as 3:4", "3:4"),
        ("so y = 2x + 3 = 2(x + 1) + 1", "2(x + 1) + 1"),
        ("so 2 + 3 = 6", "2 + 3 = 6"),
        ("so √16 = 4 of them", "√16 = 4"),
        ("is 9 = 3x + 3", "9 = 3x + 3"),
        ("5 + tax", "5 +"),
        ("a pair (√2, 3)", "(√2, 3)"),
        ("so 10C3 = 5", "10C3 = 5"),
        ("it is 10/3 = 3.3", "10/3 = 3.3"),
        ("it is 3√41 ≈ 19.2", "3√41 ≈ 19.2"),
        ("the area = π r^2 = 36π", "36π"),
        ("so there are 4! ways", "4!"),
        ("Then 2^5 ≡ 4 (mod 7)", "2^5 ≡ 4 (mod 7)"),
    ],
)
def test_what_stands_around_a_number_is_one_formula(text: str, formula: str) -> None:
    assert around_last(text) == formula


@pytest.mark.parametrize(
    "text",
    [
        "5 apples", "(5)", "x = 5", "so 2 + 3 = 5", "Total = 3 x 5 = 15", "20% of 15 = 3", "3 boxes of 5 + 2 = 17", "a 5", "I have 5",
        "Plan B: 5", "- 5", "> 5 quoted", "Step 2: 5", "$5 per day", "5/day", "5 m", "it ran 5m", "<b>5</b>", "<<2+3=5>>5", "5 - which is it",
        "28 pieces - 18 = 10 slices", "the total - 5", "so **5**", "| 5 |", "10/3 = 3", "40 / .4 = 100",
    ],
)  # fmt: skip
def test_a_number_that_says_all_is_no_formula(text: str) -> None:
    assert around_last(text) is None


@pytest.mark.parametrize("text", ["a = 3b\n= 5 - (1 + r) = 5", "a &= 3b \\\\\n&= 5 - (1 + r) = 5"])
def test_what_a_row_goes_on_with_has_a_value(text: str) -> None:
    assert last_value(text) == "5"


def test_a_wrong_sum_is_none_where_a_row_goes_on_with_it() -> None:
    assert last_value("a = 3b\n= 2 * 3 = 5") == "2 * 3 = 5"


def test_an_or_before_an_equation_says_the_same_again() -> None:
    text = "that volume, or V = 9π"
    assert is_another_name(text, text.index("V"), len(text))
    assert not is_another_name("5, or 9π", 6, 8)
    assert last_value("so $AB + CD = 6$, or $AO + AQ = 5$.") == "AO + AQ = 5"
    assert not is_another_name("x = 5 or y = 3x", 9, 15)


@pytest.mark.parametrize(
    "piece", ["(", "x + ", "2^", "[1, ", "\\frac{", "|x", "x < 5 and ", "√", "3:", "<<", "= 5 ", "7"]
)
def test_long_lines_take_no_longer_than_their_length(piece: str) -> None:
    used = time.process_time()
    last_value(piece * 20_000 + "3")
    assert time.process_time() - used < 5

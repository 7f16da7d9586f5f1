"""Numbers of choices in their notations."""

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.math_counting import counted_out


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{}_{10}C_3", r"\binom{10}{3}"),
        ("10C3", r"\binom{10}{3}"),
        ("10P3", r"\frac{10!}{7!}"),
        ("10 choose 3", r"\binom{10}{3}"),
        ("C(10, 3) = 120", r"\binom{10}{3} = 120"),
        ("C(10, 3)", "C(10, 3)"),  # a point, perhaps
        ("C(3, 10) = 5", "C(3, 10) = 5"),
        ("5C2_{16}", "5C2_{16}"),
        ("2A5C2F", "2A5C2F"),
        (r"\gcd(12, 18)", "6"),
    ],
)
def test_choices_are_binomials(text: str, written: str) -> None:
    assert counted_out(text) == written


@pytest.mark.parametrize(
    "text", ["5 choose 2 = {}", "C(5,2) = {}", "so 5C2 = {}", r"$_5C_2 = {}$", "C(5, 2) * 3 / 3 = {}"]
)
def test_a_number_of_choices_has_to_be_right(text: str) -> None:
    assert math_equal(extract_answer(text.format(10)), "10") is MathVerdict.EQUAL
    assert math_equal(extract_answer(text.format(11)), "11") is not MathVerdict.EQUAL

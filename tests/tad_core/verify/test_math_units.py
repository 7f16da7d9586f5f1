"""Units: what is one is split off, what could be another value is not."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, math_equal
from tad_core.verify.math import quick_equal
from tad_core.verify.math_units import split_unit, unit_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [(r"5\text{ cm}", ("5", "centimeter")), ("$5", ("5", "$")), ("-$5", ("-5", "$")), ("12 square feet", ("12", "square foot")),
     ("5x", ("5x", "")), ("3 pi", ("3 pi", "")), (r"\text{north}", (r"\text{north}", "")), ("5cm", ("5", "centimeter")), ("5ab", ("5ab", ""))],
)  # fmt: skip
def test_units_are_split_off(text: str, parts: tuple[str, str]) -> None:
    assert split_unit(text) == parts


@pytest.mark.parametrize(
    "answer",
    ["5 million", r"5\text{ million}", "5 squared", r"5\text{ dozen}", "5 minus", r"5\text{ and a half}"],
)
def test_words_that_change_a_number_are_no_units(answer: str) -> None:
    assert quick_equal(answer, "5") is not MathVerdict.EQUAL
    assert quick_equal(answer, answer) is MathVerdict.EQUAL


@pytest.mark.parametrize(
    "answer",
    [r"5 or \text{six}", r"5\text{ or }\text{cm}", r"5, \text{cm}", r"5/\text{six}", r"5\text{ maybe}", r"5\text{ six}", r"5\text{ (6)}", r"5\text{ cm 6}",
     r"\text{B} or \text{C}", r"\text{B}\text{C}", r"\text{B}, \text{C}", r"5 \lor \text{six}", r"5\text{ not cm}", r"x=\text{six}", r"\sin 30^\circ", r"2\cos 60^{\circ}"],
)  # fmt: skip
def test_what_could_be_another_value_is_no_unit(answer: str) -> None:
    assert split_unit(answer) == (answer, "")


@pytest.mark.parametrize(
    ("words", "power", "name"),
    [(" cm", None, "centimeter"), ("sq. ft", None, "square foot"), ("in", "2", "square inch"), ("square units", None, "square"), (r"\$", None, "$")],
)  # fmt: skip
def test_a_unit_has_one_name(words: str, power: str | None, name: str) -> None:
    assert unit_name(words, power) == name


def test_units_in_a_row_are_one_unit() -> None:
    assert quick_equal(r"5\text{ cm}", r"5\;\text{cm}") is MathVerdict.EQUAL
    assert quick_equal(r"12\text{ cm}^3", "12 cubic centimeters") is MathVerdict.EQUAL


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        ("300 minutes, or 5 hours", "300", MathVerdict.EQUAL),
        ("300 minutes, or 5 hours", "5 hours", MathVerdict.EQUAL),
        (r"2\text{ hours} \text{ or } 120 \text{ minutes}", "120", MathVerdict.EQUAL),
        ("2 hours (120 minutes)", "2", MathVerdict.EQUAL),
        ("300 minutes, or 5 hours", "305", MathVerdict.DIFFERENT),
        ("300 minutes, or 5 hours", "5 minutes", MathVerdict.DIFFERENT),
        ("300 minutes, or 6 hours", "300", MathVerdict.DIFFERENT),
        ("1 mile or 1 kilometer", "1", MathVerdict.DIFFERENT),
        ("5 apples or 5 oranges", "5", MathVerdict.DIFFERENT),
    ],
)
def test_one_quantity_in_two_units(answer: str, reference: str, verdict: MathVerdict) -> None:
    assert math_equal(answer, reference) is verdict

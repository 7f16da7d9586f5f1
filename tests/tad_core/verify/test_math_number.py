"""Written numbers."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

from fractions import Fraction

import pytest

from tad_core.verify.math_number import plain_number, simple_number


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-0.25", Fraction(-1, 4)), (r"\frac{3}{4}", Fraction(3, 4)), (r"-2\frac{1}{4}", Fraction(-9, 4)), ("7/0", None),
     ("x", None), ("(5)", 5), ("1" * 500, None), (r"2\times10^3", 2000), ("1e99999", None)],
)  # fmt: skip
def test_plain_numbers_are_exact(text: str, value: Fraction | None) -> None:
    assert plain_number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("$1,234.50", Fraction(2469, 2)),
        ("-\\$5", -5),
        ("5.", 5),
        ("12,34", None),
        ("1/2", None),
        ("x", None),
    ],
)
def test_simple_numbers_are_read_as_they_are_written(text: str, value: Fraction | None) -> None:
    assert simple_number(text) == value

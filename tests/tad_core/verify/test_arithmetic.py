"""Sums that do not come to what is said of them."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

from fractions import Fraction

import pytest

from tad_core.verify.arithmetic import plainly_differ, value_of


def test_the_value_of_a_sum() -> None:
    assert (
        value_of("7 + 7 * 2") == 21
        and value_of("$3 × 7") == 21
        and value_of("2x") is None
        and value_of("1/0") is None
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [("2 + 3", "6"), ("2 * 3", "7"), ("(2 + 3) * 4", "14"), ("2^3", "6"), ("10 / 4", "3.5"), ("10/3", "3.5"), ("1,000 + 1", "1,002"),
     ("$5 x 3", "$14"), ("5 / 0", "5"), ("-2 + 5", "-3"), ("2(3)", "5"), ("10 – 4", "7"), ("199 + 1", "201"), ("3 × 4", "13")],
)  # fmt: skip
def test_another_value_differs(left: str, right: str) -> None:
    assert plainly_differ(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("2 + 3", "5"), ("10 / 3", "3.33"), ("10 / 3", "3"), ("2 / 3", "0.67"), ("2/3", "0.66"), ("10/4", "3"), ("$5 x 3", "$15"), ("2**3", "8"),
     ("40 / .4", "100"), ("(2 + 3)(4)", "20"), ("-2 - -3", "1"), (r"3 \times 4", "12")],
)  # fmt: skip
def test_the_value_and_its_rounding_do_not(left: str, right: str) -> None:
    assert not plainly_differ(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("2x", "5"), ("20% * 5", "2"), ("6 / 2/3", "9"), ("0900 - 0130", "0730"), ("2 +", "5"), ("", "5"), ("(2 + 3", "6"), ("2^999", "5"), ("3:4", "5"),
     ("1 + " * 100 + "1", "5")],
)  # fmt: skip
def test_what_cannot_be_read_is_left_open(left: str, right: str) -> None:
    assert not plainly_differ(left, right)


def test_towers_of_powers_are_left_open_at_once() -> None:
    """Each exponent is small; what they come to together has a digit for every atom of a hand."""
    assert value_of("9^64") == 9**64
    assert value_of("(2^64)^-64") == Fraction(1, 2**4096)
    assert plainly_differ("(9^64)^64", "5")
    for deep in (3, 12, 30):
        assert value_of("(" * deep + "9" + "^64)" * deep) is None
        assert value_of("(" * deep + ".3" + "^-64)" * deep) is None

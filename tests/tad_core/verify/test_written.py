"""Mathematics in prose: what the last number of a text is part of."""

from __future__ import annotations

import time

import pytest

from tad_core.verify.numbers import last_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("So the point is (3, -4).", "(3, -4)"),
        ("So it is [2, 3).", "[2, 3)"),
        ("The points are (1, 2) and (3, 4).", "(1, 2) and (3, 4)"),
        ("So x = 3 or x = -5.", "x = 3 or x = -5"),
        ("The roots are 2, 3, and 5.", "2, 3, and 5"),
        ("Hence f(x) = x^2 - 4x + 3.", "f(x) = x^2 - 4x + 3"),
        ("so the area is 5 + 3√2 / 2 cm^2", "5 + 3√2 / 2"),
        ("so it is -\\frac{3}{4}.", "-\\frac{3}{4}"),
        ("It is 12 pi.", "12 pi"),
        ("So x = 2√3", "2√3"),
        ("so it is 2 * √3 - 1", "2 * √3 - 1"),
        ("so z = 3 + 4i.", "3 + 4i"),
        ("it is 2 - i", "2 - i"),
        ("It is -2i.", "-2i"),
        ("So z = 2 + 3i or z = 2 - 3i.", "z = 2 + 3i or z = 2 - 3i"),
        ("She has 12 in all, 12 if you count", "12"),
        ("maybe (3, 4)", "(3, 4)?"),
        ("He pays (1,234) dollars", "1234"),
        ("There are C(5, 2) = 10", "10"),
        ("f(2, 3)", "f(2, 3)"),
        ("so y = 2x + 3 = 9", "9"),
        ("She has 3 pies and 2 pens.", "2"),
        ("There were 2 and 3 left", "3"),
    ],
)
def test_the_last_value_is_whole(text: str, value: str) -> None:
    assert last_value(text) == value


@pytest.mark.parametrize(
    "piece", ["(1, ", "x = 3 or ", "9π ", "are 2, ", "√2 + ", "y = 2x + ", "[1, 2), ", "3/", "\\frac{1"]
)
def test_long_texts_of_one_thing_take_no_longer_than_their_length(piece: str) -> None:
    used = time.process_time()
    last_value(piece * 20_000 + "3")
    assert time.process_time() - used < 5


@pytest.mark.parametrize(
    "text",
    [
        "x = " + ", ".join(map(str, range(1, 40))) + " are tried",
        "x = 1 or " * 40 + "x = 2 apples",
        "x = " + "3 √2, " * 40 + "5 apples",
        "y = x" + " -" * 60 + " 5 apples",
        "The roots are " + "2 , " * 40 + "and 5 apples",
    ],
)
def test_what_is_no_list_in_the_end_is_tried_in_one_way(text: str) -> None:
    """The text is looked through in the run's own process: 2 to the power of its values never ends."""
    used = time.process_time()
    last_value(text)
    assert time.process_time() - used < 1

"""One set, or one tuple, under two names."""

from __future__ import annotations

import pytest

from tad_core.verify.math_sets import alike
from tad_core.verify.math_shape import Form, shape_of


@pytest.mark.parametrize(
    ("answer", "other", "text"),
    [
        ("x<3", r"(-\infty,5)", r"(-\infty,3)"),
        (r"2\ge x>1", "[0,1]", "(1,2]"),
        (r"x>3\text{ and }x<5", "[0,1]", "(3,5)"),
    ],
)
def test_a_condition_becomes_an_interval(answer: str, other: str, text: str) -> None:
    found, kept = alike(shape_of(answer), shape_of(other))
    assert found.form is Form.BRACKETED and found.text == text
    assert kept == shape_of(other)


@pytest.mark.parametrize("answer", [r"x\ne 1", r"\mathbb{R}\setminus\{1\}", r"x<1\text{ or }x>1"])
def test_several_intervals_are_a_union(answer: str) -> None:
    found, _ = alike(shape_of(answer), shape_of(r"(-\infty,1)\cup(1,\infty)"))
    assert found.form is Form.UNION
    assert [part.text for part in found.items] == [r"(-\infty,1)", r"(1,\infty)"]


@pytest.mark.parametrize(
    ("answer", "other", "values"),
    [
        ("x=3, y=4", "(0,0)", ["3", "4"]),
        ("y=4, x=3", "(0,0)", ["3", "4"]),
        ("x=3, y=4", "(y,x)=(0,0)", ["4", "3"]),
    ],
)
def test_named_values_become_a_tuple(answer: str, other: str, values: list[str]) -> None:
    found, _ = alike(shape_of(answer), shape_of(other))
    assert found.form is Form.BRACKETED and [item.text for item in found.items] == values


@pytest.mark.parametrize(
    ("answer", "other"),
    [("2x<4", "(1,4)"), ("x<y", "(1,4)"),
     ("x=3, x=4", "(3,4)"), ("x=3", "(3,4)"), ("x=3, y=4", "[3,4]"), ("3,4", "(3,4)")],
)  # fmt: skip
def test_what_is_no_such_condition_stays(answer: str, other: str) -> None:
    assert alike(shape_of(answer), shape_of(other)) == (shape_of(answer), shape_of(other))

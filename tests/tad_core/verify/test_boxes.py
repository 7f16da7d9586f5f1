r"""Boxes that are left open, that hold a place, and that have a sign before them."""

from __future__ import annotations

import pytest

from tad_core.verify.boxes import boxed_answer, last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7", "7"),
        (r"so $\boxed{\frac{1}{2}$.", r"\frac{1}{2}"),
        ("so \\boxed{x+1\n\\]", "x+1"),
        (r"\boxed{\frac{1}{", ""),
        (r"\boxed{4} and \boxed{5", "4"),
        (r"\boxed{", ""),
        (r"\boxed{...", ""),
    ],
)
def test_a_box_that_is_cut_holds_what_is_whole(text: str, answer: str) -> None:
    assert boxed_answer(text) == answer


def test_a_reference_has_none() -> None:
    assert last_boxed(r"so \boxed{7") == ""


@pytest.mark.parametrize("placeholder", ["...", "", r"\ldots", "?", "answer", r"\text{your answer}", "___"])
def test_what_holds_a_place_is_no_answer(placeholder: str) -> None:
    assert last_boxed(rf"\boxed{{5}}, in the form \boxed{{{placeholder}}}") == "5"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"$-\boxed{5}$", "-5"),
        (r"$x = -\boxed{a+b}$", "-(a+b)"),
        (r"$3 -\boxed{5}$", "5"),
        ("The parts:\n- \\boxed{5}", "5"),
        (r"It is -\boxed{5}.", "-5"),
        (r"Answer: -\boxed{\frac12}", r"-\frac12"),
        ("So\n-\\boxed{5}", "-5"),
        (r"We get 10 -\boxed{5}", "5"),
        (r"The answer-\boxed{5}", "5"),
        (r"$W\pi = \boxed{\frac{284}{3}}\pi$", r"\frac{284}{3}"),
    ],
)
def test_a_sign_belongs_to_the_answer_and_a_factor_does_not(text: str, answer: str) -> None:
    assert last_boxed(text) == answer

"""Factorials, and numbers in glad sentences."""

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.exclaimed import is_factorial


@pytest.mark.parametrize(
    ("text", "mathematics"),
    [
        ("It is 3!", False),
        ("She has 3! That is all.", False),
        ("It is 3!!!", False),
        ("There are 4! ways", True),
        ("It is 5!.", True),
        ("It is 5! / 2", True),
        ("The number of arrangements is 3!", True),
        ("By 6!/(3!) we get it, and so 4!", True),
        ("Of the permutations, 5! = 120, so it is 120!", False),
        ("Of the permutations, 5! = 120, so it is 12!", True),
    ],
)
def test_a_mark_behind_a_number(text: str, mathematics: bool) -> None:
    assert is_factorial(text, text.rindex("!" if "!!" not in text else "!!!")) is mathematics


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("it is 3!", "3", True),
        ("The number of arrangements is 3!", "6", True),
        ("The number of arrangements is 3!", "3", False),
        ("There are 4! ways to do it", "24", True),
        ("There are 4! ways to do it", "4", False),
        ("Of permutations. The answer is 4!", "24", True),
        ("The answer is 3! Hope this helps.", "3", True),
        ("She has 3 apples left!", "3", True),
    ],
)
def test_the_number_of_a_text_that_ends_in_a_mark(text: str, reference: str, right: bool) -> None:
    assert (math_equal(extract_answer(text), reference) is MathVerdict.EQUAL) is right

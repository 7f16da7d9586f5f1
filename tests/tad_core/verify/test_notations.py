"""Every answer of the tables, either way round: what is right passes and nothing that is wrong does."""

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.math import MathKind
from tests.tad_core.verify import endings
from tests.tad_core.verify.notations_same import SAME
from tests.tad_core.verify.notations_wrong import WRONG
from tests.tad_core.verify.test_corpus import both_ways


@pytest.mark.parametrize("kind", SAME)
def test_what_is_the_same_passes(kind: str) -> None:
    assert [p for p in both_ways(SAME[kind]) if math_equal(*p) is not MathVerdict.EQUAL] == []


@pytest.mark.parametrize("kind", WRONG)
def test_nothing_wrong_passes(kind: str) -> None:
    assert [p for p in both_ways(WRONG[kind]) if math_equal(*p) is MathVerdict.EQUAL] == []


@pytest.mark.parametrize("kind", WRONG)
def test_each_side_of_a_wrong_pair_is_itself(kind: str) -> None:
    answers = [answer for pair in WRONG[kind] for answer in pair]
    assert [a for a in answers if math_equal(a, a) is not MathVerdict.EQUAL] == []


@pytest.mark.parametrize(
    ("cases", "kind", "right"),
    [
        (endings.RIGHT_NUMBERS, "number", True),
        (endings.WRONG_NUMBERS, "number", False),
        (endings.RIGHT, "expression", True),
        (endings.WRONG, "expression", False),
    ],
)
def test_the_answer_of_a_text(cases: list[tuple[str, str]], kind: MathKind, right: bool) -> None:
    def passes(text: str, reference: str) -> bool:
        answer = extract_answer(text)
        return bool(answer) and math_equal(answer, reference, kind) is MathVerdict.EQUAL

    assert [case for case in cases if passes(*case) is not right] == []

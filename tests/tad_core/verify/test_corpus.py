"""Every pair of the corpus, either way round: what is right passes and nothing that is wrong does."""

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, math_equal
from tests.tad_core.verify.corpus import SAME, WRONG


def both_ways(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for a, b in pairs for pair in ((a, b), (b, a))]


@pytest.mark.parametrize("rule", SAME)
def test_what_is_the_same_passes(rule: str) -> None:
    pairs = both_ways(SAME[rule])
    assert [pair for pair in pairs if math_equal(*pair) is not MathVerdict.EQUAL] == []


@pytest.mark.parametrize("rule", WRONG)
def test_nothing_wrong_passes(rule: str) -> None:
    pairs = both_ways(WRONG[rule])
    assert [pair for pair in pairs if math_equal(*pair) is MathVerdict.EQUAL] == []


@pytest.mark.parametrize("rule", WRONG)
def test_each_side_of_a_wrong_pair_is_itself(rule: str) -> None:
    """A pair of which a side cannot be read would prove nothing."""
    answers = [answer for pair in WRONG[rule] for answer in pair]
    assert [answer for answer in answers if math_equal(answer, answer) is not MathVerdict.EQUAL] == []

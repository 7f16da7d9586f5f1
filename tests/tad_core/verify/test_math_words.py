"""Words that say the same."""

from __future__ import annotations

import pytest

from tad_core.verify.math_words import NO_NUMBERS, meant_by, without_article


@pytest.mark.parametrize(
    "words", ["nosolution", "NoRealSolutions", "none", "therearenosolutions", "emptyset"]
)
def test_no_numbers(words: str) -> None:
    assert meant_by(words) == NO_NUMBERS


@pytest.mark.parametrize("words", ["no", "nothing", "noneofthese", "solution", "nosolutionfound"])
def test_other_words_are_themselves(words: str) -> None:
    assert meant_by(words) == words


def test_articles() -> None:
    assert without_article(r"\text{an ellipse}") == r"\text{ellipse}"
    assert without_article("the circle") == "circle"
    assert without_article("a b") == "a b" and without_article("theta") == "theta"

"""Answers in words: articles, and words that say the same."""

from __future__ import annotations

import re

#: what stands for "no solution", "none", "there are no real roots"
NO_NUMBERS = "none"
_NO_SOLUTION = re.compile(
    r"none|(?:thereis|thereare|ithas|has)?no(?:real|integer|valid|possible)?(?:solutions?|roots?|values?)(?:exists?)?"
    r"|(?:the)?emptyset"
)
_SAME_WORDS = {"dne": "doesnotexist", "thelimitdoesnotexist": "doesnotexist", "infinity": r"\infty"}
#: words before a value that ask whether it is the answer, and so do not say that it is
ASKING = (
    r"\b(?:(?:is|was|does) (?:it|this)|(?:could|would|should|might|can) (?:it|this|that) be"
    r"|(?:if|whether) (?:it|this|that) is)(?: equal(?: to)?| equals)?"
)
_ARTICLE = re.compile(
    r"^(\\(?:text|textbf|textit|textrm|mbox|mathrm)\s*\{)?\s*(?:an?|the)\s+(?=[a-z]{3})", re.IGNORECASE
)

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def spoken(number: int) -> str:
    """A number below a thousand in words, without hyphens and ``and``."""
    small = _SMALL.split()
    hundreds, rest = divmod(number, 100)
    words = [small[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS.split()[rest // 10 - 2])
        rest %= 10
    if rest or not words:
        words.append(small[rest])
    return " ".join(words)


def without_article(answer: str) -> str:
    r"""``\text{ellipse}`` of ``\text{an ellipse}``."""
    return _ARTICLE.sub(r"\1", answer)


def meant_by(words: str) -> str:
    """Cleaned words without case, and one spelling for those that say the same."""
    words = words.casefold().strip(".")
    return NO_NUMBERS if _NO_SOLUTION.fullmatch(words) else _SAME_WORDS.get(words, words)

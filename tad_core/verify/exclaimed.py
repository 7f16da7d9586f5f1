"""Whether the mark behind a number is that of a factorial (``There are 4! ways``) or of joy (``It is 4!``)."""

from __future__ import annotations

import re

#: what goes on from a factorial: a sign, the end of a sentence that has its own mark, a word of the same sentence
_GOES_ON = re.compile(r"!(?!!)(?:\s?[-+*/=×÷·^]|[.,;:)\]}]|\s[a-z])")
_SPEAKS_OF_FACTORIALS = re.compile(
    r"\bfactorials?\b|\bpermut|\b(?:re)?arrang(?:e|ing|ements?)|\border(?:ings|ed)\b|\d!\s?[-+*/=×÷·)]",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d[\d,]*$")
#: Characters of a text that are looked at for what it speaks of.
_WIDTH = 10_000


def is_factorial(text: str, at: int) -> bool:
    """Whether ``text[at]``, an exclamation mark behind a number, is mathematics.

    At the end of a sentence it is where the text speaks of factorials, and has not come to that very number before
    (``5! = 120, so it is 120!``).
    """
    if _GOES_ON.match(text, at):
        return True
    before = text[max(0, at - _WIDTH) : at]
    number = _NUMBER.search(before)
    if number is None or text[at + 1 : at + 2] == "!" or not _SPEAKS_OF_FACTORIALS.search(before):
        return False
    return re.search(rf"=\s?{re.escape(number.group())}(?![\d!])", before[: number.start()]) is None

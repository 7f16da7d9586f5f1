r"""What is left open around an answer: ``\boxed{5}`` or six, between 3 and 4, maybe 5.

An answer that names another value beside the right one is not right, and several boxes may be one answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from tad_core.verify.math_text import clean, plain_number
from tad_core.verify.math_value import values_of
from tad_core.verify.math_words import ASKING

#: words that make another number of the one behind them, where no comma or sign says what they come to
RECKONED = re.compile(
    r"\b(?:or|nor|between|maybe|perhaps|possibly|not|roots?|square|squared|cubed?|half|third|quarter|twice|double|triple"
    r"|times|product|quotient|difference|minus|plus|divided|less|more|wrong)\b(?![^,:=]*[,:=]\s*\S+$)",
    re.IGNORECASE,
)
#: ``$5$ or $6$``: mathematics, where ``$5 or $6`` are sums of money
SEVERAL_IN_DOLLARS = re.compile(r"\$[^$]+\$,? (?:or|and) \$[^$]+\$$")
#: what closes and opens the mathematics around a value
_EDGE = r"[\s$*()\[\]\\]{0,12}"
_JOINT = re.compile(
    rf"{_EDGE}(?:[,;/]?{_EDGE}(?:or|and|and/or)?){_EDGE}(?:[A-Za-z]\s?=\s?)?{_EDGE}", re.IGNORECASE
)
_UNSURE = r"(?:maybe|perhaps|possibly|even|else|rather|alternatively|could be|might be|it is|is|it's)"
_NUMBER_WORD = (
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty)"
)
#: another value: a number, a letter of a choice, mathematics or a number in words
_ALTERNATIVE = re.compile(
    rf"{_EDGE},?\s?(?:and/or|or)\s{_EDGE}(?P<value>(?:{_UNSURE}\s,?){{0,2}}[ $*(\\]{{0,6}}"
    rf"(?:-?[$\d]|[A-Z]\b|\\[a-z]|[a-z]\b(?! )|{_NUMBER_WORD}\b)(?:[^\n.;?!]|\.(?=\d)){{0,60}})"
)
_WIDTH = 60
_OPEN_BEFORE = re.compile(
    r"(?:\bbetween\b[^.\n]{1,40}\band|\S{1,20} (?:and/)?or(?: (?:maybe|perhaps|possibly|even|else))?|\bor|\bmaybe"
    r"|\bperhaps|\bpossibly|\bprobably|\bnot|\bneither|\bnor|n't|\bguess(?:ing)?|\b(?:might|could|may) be"
    rf"|{ASKING}(?=[ $*(\\]*$))[\s$*(\\]*$",
    re.IGNORECASE,
)
_OPEN_BEHIND = re.compile(
    r"[\s$*)\\]*,?\s?\(?(?:or|and/or|maybe|perhaps)\b[^.\n]{0,40}|[\s$*)\\]*\?", re.IGNORECASE
)


def parts_of_one(text: str, start: int, end: int) -> bool:
    """Whether two boxes with ``text[start:end]`` between them are parts of one answer: nothing else is said there."""
    return _JOINT.fullmatch(text, start, end) is not None


def value_behind(text: str, end: int) -> str:
    """The value behind an ``or`` that follows an answer which ends at ``end``; empty where there is none."""
    behind = _ALTERNATIVE.match(text, end)
    return behind["value"].rstrip(" $*)\\") if behind else ""


def says_the_same(answer: str, other: str) -> bool:
    """Whether the second is plainly the first again: the same text, number (per cent as a share, too) or value."""
    if clean(answer) == clean(other) or _readings(answer) & _readings(other):
        return True
    values = values_of(clean(answer)), values_of(clean(other))
    return values[0] is not None and values[0] == values[1]


def _readings(text: str) -> set[Fraction]:
    number = plain_number(clean(text.rstrip("\\%")))
    if number is None:
        return set()
    return {number, number / 100} if text.endswith("%") else {number}


def open_number(text: str, number: re.Match[str]) -> str:
    """A number with the words beside it that leave it open (``5 or 6``, ``maybe 5``, ``5?``); empty if none do."""
    before = _OPEN_BEFORE.search(text[max(0, number.start() - _WIDTH) : number.start()])
    after = _OPEN_BEHIND.match(text, number.end(), number.end() + _WIDTH)
    if before is None and after is None:
        return ""
    return f"{before.group() if before else ''}{number.group()}{after.group() if after else ''}".strip()

r"""Numbers of a question that a last sentence says again behind its answer: ``He pays $64 for the 16 glasses``.

Which number of ``reads 120 pages in 3 hours`` is the answer only the question tells: the one that it does not give.
"""

from __future__ import annotations

import itertools
import re

_FIGURE = re.compile(r"(?<![\w.,^/])-?\\?(?P<money>\$?)(?P<number>\d[\d,]*(?:\.\d+)?)(?![\d^_]|[,.]\d)")
#: words that begin what a value is for, directly behind it or behind what it counts
_BEGINS = re.compile(
    r",?\s(?:(?:for|in|over|at|during|within|throughout|after|by|on|from|between|per|with|beyond|than|of|out of"
    r"|to (?!get\b|have\b|leave\b|make it\b|total\b)[a-z]+|each (?:with|of|having|holding))\s"
    r"|(?P<clause>(?:when|if|while|once|as)\s|after (?:he|she|they|it|we|[a-z]+ing)\s)"
    r"|(?=\d+ [a-z]+ (?:from now|later|ago|earlier)))"
)
#: words in it that come to another value, or say another sentence's
_COMES_TO = re.compile(
    r"\b(?:so|then|but|which|plus|minus|leaving|left|making|giving(?! [^.]*away)|total\w*|altogether|thus|therefore"
    r"|hence|not|only|instead|rather|or)\b|[=:;+*×÷?<>()\\]|\s[-/]\s|, and (?:he|she|they|it|we)\b"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|will|gets?|got|costs?|earns?|needs?|makes?|pays?|spends?|sells?|takes?"
    r"|equals?|who|that)\b"
)
_PURPOSE = re.compile(r"\bto (?!get\b|have\b|leave\b|total\b|make (?:a total|it)\b)[a-z]+\b")
#: another number's: ``than Bob, who has 4``
_RELATED = re.compile(r",? who (?:has|had|have|is|was|gets|got|earns|makes|sells|sold)\s")
_SENTENCE = re.compile(r"[.!?:][\s*]+(?=[A-Z$*\\(])|\n")
#: ``In 8 years, Tom will be 18``
_OPENING = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s)?(?:in|after|for|at|by|on|within)\s(?:the\s)?\W{0,3}$", re.IGNORECASE
)
_HOW_MANY = re.compile(r"\bhow many (?:more |total |whole |full |extra |additional )?([a-z]+)", re.IGNORECASE)
_HOW_LONG = re.compile(r"\b(?:how (?:long|soon)|when|what time)\b", re.IGNORECASE)
_HOW_MUCH = re.compile(
    r"\bhow much\b|\bwhat (?:is|was|will be) the (?:total )?(?:cost|price|amount)\b", re.IGNORECASE
)
_TIMES = re.compile(r"\b(?:second|minute|hour|day|week|month|year)s?\b", re.IGNORECASE)
_COUNTED = re.compile(r"%?[*$)]{0,3}(?:\s[A-Za-z'-]+){0,6}")
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
_SPOKEN = {word: str(number) for number, word in enumerate(_WORDS.split())}
#: Characters of a last sentence, and of a question, that are looked at.
_WIDTH, _LONGEST_QUESTION = 300, 20_000


def without_givens(text: str, question: str) -> str:
    """A text up to where its last sentence says no more than numbers of the question, behind one that it does not give.

    As it is where these numbers could be what is asked for, or come to another value.
    """
    if not question:
        return text
    begin = max(0, len(text.rstrip()) - _WIDTH)
    ends = [end.end() for end in _SENTENCE.finditer(text, begin, len(text.rstrip(" \n.*!")))]
    begin = ends[-1] if ends else begin
    figures = list(_FIGURE.finditer(text, begin))
    given = _given(question)
    behind = list(itertools.takewhile(lambda figure: _plain(figure["number"]) in given, reversed(figures)))
    if not behind or len(behind) == len(figures):
        return text
    value = figures[-len(behind) - 1]
    if _OPENING.fullmatch(text, begin, value.start()):
        return _opening(text, value, behind[-1].start(), question)
    start = _BEGINS.search(text, value.end())
    if (
        start is None
        or start.end() > behind[-1].start()
        or not _COUNTED.fullmatch(text, value.end(), start.start())
    ):
        return text
    said = _RELATED.sub(" ", _PURPOSE.sub(" ", text[start.start() :])).rstrip(" .!*\n").replace("\\$", "$")
    goes_on = _COMES_TO.search(said) or (not start["clause"] and _VERB.search(said))
    counted = text[value.end() : start.start()]
    if goes_on or (
        not _asked(question, counted, bool(value["money"])) and _asked(question, said, "$" in said)
    ):
        return text
    return text[: start.start()]


def _opening(text: str, value: re.Match[str], given_at: int, question: str) -> str:
    """A text up to the comma behind a value that opens its last sentence, where that is what the question asks for."""
    comma = text.find(",", value.end(), given_at)
    opens = comma > 0 and _COUNTED.fullmatch(text, value.end(), comma)
    said = text[comma:]
    if not opens or _COMES_TO.search(said.rstrip(" .!*\n")) or _asked(question, said, "$" in said):
        return text
    return text[:comma] if _asked(question, text[value.end() : comma], bool(value["money"])) else text


def _given(question: str) -> set[str]:
    """The numbers of a question, also those that it has in words."""
    question = question[-_LONGEST_QUESTION:]
    words = (_SPOKEN.get(word) for word in re.findall(r"[a-z]+", question.lower()))
    return {_plain(figure["number"]) for figure in _FIGURE.finditer(question)} | {
        word for word in words if word
    }


def _plain(number: str) -> str:
    number = number.replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number


def _asked(question: str, words: str, is_money: bool) -> bool:
    """Whether words behind a number name what a question asks for."""
    nouns = _HOW_MANY.findall(question[-_LONGEST_QUESTION:])
    return (
        any(re.search(rf"\b{re.escape(noun[:-1] or noun)}", words, re.IGNORECASE) for noun in nouns)
        or (is_money and _HOW_MUCH.search(question) is not None)
        or (_TIMES.search(words) is not None and _HOW_LONG.search(question) is not None)
    )

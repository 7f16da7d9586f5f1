r"""What is left open around an answer: ``\boxed{5}`` or six, between 3 and 4, maybe 5.

An answer that names another value beside the right one is not right, and several boxes may be one answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from tad_core.verify.math_number import plain_number
from tad_core.verify.math_text import clean
from tad_core.verify.math_value import values_of
from tad_core.verify.math_words import ASKING

#: words of which the number behind them says no value
RELATED = (
    r"(?:undefined|multiples?|factors? of|divisors? of|divisible|powers? of|primes|modulo|inverse|reciprocal|opposite"
    r"|square (?:root )?of|out of|below|above|number of [^,:=\d]* \d+)"
)
#: words that make another number of the one behind them, where no comma or sign says what they come to
RECKONED = re.compile(
    r"\b(?:or|nor|between|maybe|perhaps|possibly|not|roots?|square|squared|cubed?|half|third|quarter|twice|double|triple"
    rf"|times|product|quotient|difference|minus|plus|divided|less|more|wrong|{RELATED})\b(?![^,:=]*[,:=]\s*\S+$)",
    re.IGNORECASE,
)
#: ``$5$ or $6$``: mathematics, where ``$5 or $6`` are sums of money
SEVERAL_IN_DOLLARS = re.compile(r"\$[^$]+\$,? (?:or|and) \$[^$]+\$$")
#: what closes and opens the mathematics around a value
_EDGE = r"[\s$*()\[\]\\]{0,12}"
_JOINT = re.compile(
    rf"(?:{_EDGE}\.?\s*(?:(?:case|option|possibility)\s[\dA-C]\s?:)\s?)?"
    rf"{_EDGE}(?:[,;/]?{_EDGE}(?:or|and|and/or)?){_EDGE}(?:[A-Za-z]\s?=\s?)?{_EDGE}",
    re.IGNORECASE,
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
#: bounds, which are answers to how many there can be (``buys at most 5``), and none to what something is
_BOUND = (
    r"(?:at (?:the )?(?:most|least)|no (?:more|less|fewer) than|not (?:more|less|fewer) than|up to(?: and including)?"
    r"|as (?:much|many|few|little|low|high) as)"
)
#: words that say of the number behind them that it is not it, or part of what is still to be reckoned
_ANOTHER = (
    r"(?:(?<!no )(?<!not )(?:more|less|fewer|greater|smaller|larger|bigger|higher|lower|other|rather) than|instead of"
    r"|different from|far from|short of|anything but|none of|out of|half(?: of)?|twice|double|triple"
    r"|(?:square(?: root)?|cube|third|quarter|percent|multiple|divisor|power|\d[\d.,]*%?) of(?: the)?"
    r"|(?<!\\)(?:plus|minus|times)|(?:divided|multiplied) by|\d to the|except|excluding"
    r"|e\.g\.,?|for (?:example|instance),?|such as|no (?:real |integer )?solutions?\b[^.\n]{0,30}"
    r"|nearly|almost|hardly|barely|scarcely|never"
    r"|(?:just|slightly|well|far|is|was|a (?:bit|little)) (?:under|over|below|above))"
)
#: ``3 to 5`` where something is, takes or has so many; what goes from 3 to 5 has come to 5
_FROM_ONE = (
    r"(?:(?:^|\n|[:=>*]\s?|\b(?:(?:is|was|are|were|be|takes?|took|needs?|costs?|lasts?|lasted|ranges?|ranged|ranging"
    r"|varies|anywhere|somewhere)(?: from)?|about|approximately|around|roughly|has|have|had|in|within|every|answer|only"
    r"|just) )[$*(\\]{0,4}\d[\d.,]*%?[$*)\\]{0,4}(?: [a-z]+)? to)"
)
_OPEN_BEFORE = re.compile(
    rf"(?:\b(?:is|was|equals?) {_BOUND}|\b{_BOUND} (?:exactly|precisely)"
    rf"|{_FROM_ONE}|\b{_ANOTHER}(?: exactly| precisely)?(?:[\s$]*[a-z]\s?=)?"
    r"|\b(?:between|(?:sum|product|difference|quotient|average|mean) of)\b[^.\n]{1,40}\band"
    r"|\S{1,20} (?:and/)?or(?: (?:maybe|perhaps|possibly|even|else))?|\bor|\bmaybe"
    r"|\bperhaps|\bpossibly|\bprobably|(?:\bnot|n't|\bcannot)(?: possibly| really| simply)?"
    r"(?: be| equal(?: to)?| exactly| precisely)*|\bneither"
    r"|\bnor|\bguess(?:ing)?(?: (?:it|that) is)?"
    rf"|\b(?:might|could|may) be|{ASKING}(?=[ $*(\\]*$))[\s$*(\\]*$",
    re.IGNORECASE,
)
_OPEN_BEHIND = re.compile(
    r"[\s$*)\\]*,?\s?\(?(?:or|and/or|maybe|perhaps|probably|presumably|possibly|I (?:guess|think|suppose)|give or take"
    r"|plus|minus|(?:divided|multiplied) by|and (?:above|up|upwards|counting)|squared|cubed|factorial)\b[^.\n]{0,40}"
    r"|(?:(?<=\.\d)|(?<=\.\d\d)|(?<=\.\d\d\d))(?:\.{3}|…)|[\s$*)\\]*\?|-?ish\b"
    r"|[\s°]*(?:degrees?\s)?(?:[CF]\w*\s)?below\s(?:zero|0)\b",
    re.IGNORECASE,
)
#: ``the diameter is twice the radius, or 2``: words without any number before it
_SAID_IN_NUMBERS = re.compile(r"(?:\b[a-z-]{2,}\s){3}\$?[a-z]+\$?,\sor\s[\s$*(\\]*$")
_HEDGED = re.compile(
    rf"\b(?:maybe|perhaps|possibly|either|not|neither|nor|about|around|might|could|may|between|{_NUMBER_WORD})\b|n't"
)
#: what takes back the value before it: ``is wrong``, ``which cannot be``
_DENIED_BEHIND = re.compile(
    rf"{_EDGE}(?:(?:[a-z]++\s?){{0,3}},\s(?=which\s)|,?\s?)(?:(?:which|that|this)\s)?"
    r"(?:(?:is|was|are|were|seems|looks|would be)\s(?:[a-z]+ly\s)?"
    r"(?:(?:incorrect|wrong|false|impossible|invalid|absurd|extraneous"
    r"|too\s(?:few|many|much|little|small|large|big|low|high))\b(?!\s(?:to|that|for)\b)"
    r"|not\s(?:correct|right|valid|possible|true|(?:the|an?)\s(?:[a-z]+\s)?(?:answer|solution)\b))"
    r"|(?:is|was)n't\s(?:correct|right|valid|possible|true)\b"
    r"|(?:cannot|can't|can\snot)\sbe(?:\s(?:right|correct|true|the\sanswer)\b|[\s$]*(?:[.,;!]|$)))|[\s$)\\\]]*\?"
    rf"|{_EDGE}[.!,]?\s(?:(?:[Ww]ait|[Nn]o|[Bb]ut|[Hh]owever|[Hh]mm+|[Oo]h|[Ss]orry|[Aa]ctually)[,.…]{{0,3}}\s){{0,2}}"
    r"(?:[Tt]his|[Tt]hat|[Ii]t)\s"
    r"(?:(?:is|was)\s(?:incorrect|wrong|not\s(?:correct|right))|(?:is|was)n't\s(?:correct|right))\b"
)
#: what denies the value behind it: ``is not``, ``cannot be``, ``\\ne``
_DENIED_BEFORE = re.compile(
    r"(?:(?:\b[Nn]ot|n't|\bcannot|\bnever|\bneither)(?:\s(?:possibly|really|simply))?(?:\sbe|\sequal(?:\sto)?|\sexactly)?"
    r"[\s$*({\[\\]*(?:[A-Za-z]\s?=\s?)?|\\(?:neq?|not\s?=)\s?)[\s$]*$"
)
#: ``15. No, 16``, ``15. Actually, it should be 16``; neither ``15. No 16 exists`` nor ``15. Actually, it is 7.5 + 7.5``
#: ``7. But wait, 3 + 5 = 8, so it should be 8``: what is said of the answer in the end of a paragraph
_RECONSIDERED = re.compile(
    r"(?:[\s$*)\]}\\.,!;?]{0,12}\b(?:[Ii]t|[Tt]hat|[Tt]his)|[\s$*)\]}\\.,!;?]{0,12}\b(?:[Bb]ut\s)?(?:[Ww]ait|[Hh]mm+|[Aa]ctually|[Oo]ops)\b[^\n]{0,200}?\b(?:it|that|the\s(?:right\s|correct\s)?answer))"
    r"\s(?:should|must)\s(?:actually\s|really\s)?be\s(?P<said>)[$*\\]{0,3}(?P<value>-?\d[\d,]*+(?:\.\d++)?+)"
    r"(?P<unit>(?:\s(?!(?:each|apiece|more|less|fewer|extra|times|percent)\b)[a-z]+)?)(?=[$*]{0,3}[.!]?\s*(?:\Z|\n))"
)
#: ``7. Wait, I made a mistake. It is 8.``
_MISTAKEN = re.compile(
    r"[\s$*)\]}\\.,!;?]{0,12}\b(?:(?:[Bb]ut|[Ww]ait|[Hh]mm+|[Aa]ctually|[Oo]ops|[Ss]orry|[Nn]o),?[.…]{0,3}\s){0,3}"
    r"(?:I|[Tt]here|[Tt]hat)\s(?:made|is|was|see|have made)\s(?:an?|my|the)\s(?:mistake|error)\b[^\n]{0,200}?"
    r"\b(?:[Ii]t|[Tt]hat|[Tt]his"
    r"|[Tt]he (?:right |correct |real )?(?:answer|total|result))\s(?:is|should be|must be)\s(?:actually\s|really\s)?"
    r"[$*\\]{0,3}(?P<value>-?\d[\d,]*+(?:\.\d++)?+)(?=(?:\s(?!each\b)[a-z]+)?[$*]{0,3}[.!]?\s*(?:\Z|\n))"
)
_CORRECTED = re.compile(
    r"[\s$*)\]}\\.,!;?]{0,12}\b(?![Nn]o\s\d)(?:(?:[Nn]o|[Ww]ait|[Aa]ctually|[Ss]orry|[Oo]ops|[Cc]orrection)\b[,.:!]{0,3}\s?){1,3}"
    r"(?:(?:it|that|this|the\s(?:(?:right|correct|final|real)\s)?answer)(?:\s(?:is|was|should\sbe|must\sbe)|'s)\s"
    r"(?:actually\s|really\s)?(?P<said>))?[$*\\]{0,3}(?P<value>-?\d[\d,]*+(?:\.\d++)?+)"
    r"(?!\s?(?:[-+*/×÷=^%]|x\s?\d|(?:times|plus|minus|divided|multiplied|more|less|fewer|out|of|or|percent|dozen)\b))"
    r"(?(said)|(?=(?:\s[a-z]+)?[$*]{0,3}[.!]?\s*(?:\Z|\n)))"
)
#: ``7. It is 8.``: the same thing said to be another number; ``12. That is 3 more.`` says by how much
_SAID_AGAIN = re.compile(
    r"[\s$*)\]}.]{0,8}\s(?:[Ii]t|[Tt]his|[Tt]hat)(?:\sis|'s)\s[$*\\]{0,3}(?P<value>-?\d[\d,]*+(?:\.\d++)?+)"
    r"(?P<unit>(?:\s(?!(?:each|apiece|more|less|fewer|extra|times|percent)\b)[a-z]+)?)(?=[$*]{0,3}[.!]?\s*(?:\Z|\n))"
)
#: ``4. No wait, that is Carlos.``
_TAKEN_BACK = re.compile(
    r"(?:[^\n.;!?]|\.(?=\d)){0,60}[.;!]?[\s$*)\]}]{0,8}\b(?:[Nn]o,?\s[Ww]ait|[Ww]ait,?\s[Nn]o)\b(?=[,.!…]|\s(?:that|this|it)\b)"
)
_INSTEAD = re.compile(
    r"not\s[$\\(]{0,3}-?\d[\d.,]*?[\s$\\)]*(?:[a-z]{2,12}\s?){0,2}[.;,]\s(?:(?:[Bb]ut|[Rr]ather|[Ii]nstead),?\s)?(?:[Ii]t|[Tt]he\s(?:(?:right|correct|actual|real)\s)?(?:answer|one))\s"
    r"(?:is|must\sbe|should\sbe)\s(?:actually\s|really\s|in\sfact\s)?(?=[-$*\\(]{0,4}\d)"
)
#: who speaks of an answer without giving it: ``if``, ``I doubt that``, ``I do not think that``
_DOUBTED_CLAIM = re.compile(
    r"(?:\b(?:(?:initially|first|originally)\s(?:thought|believed|said|assumed)|(?:might|could|may)\s(?:say|think|guess)|if|whether|suppose|assum(?:e|ing)|imagine|pretend|doubt\w*|unlikely|guess\w*|wonder\w*|unclear|unsure|maybe"
    r"|perhaps|possibly|claims?)|(?:\bnot|n't|\bcannot|\bnever|\bnobody)(?:\s(?:be|the|really|yet|quite))*"
    r"\s(?:be|think|believe|knows?|sure|certain|mean|say|clear|true|case|possible|convinced|expect|follow|imply))"
    r"\s(?:that\s|if\s|whether\s)?(?:(?:the|my|our|your|this|final|correct|right|real)\s){0,3}$",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the words around ``text[start:end]`` say that this is not the answer, or ask whether it is."""
    before = text[max(0, start - _WIDTH) : start]
    return _DENIED_BEHIND.match(text, end) is not None or _DENIED_BEFORE.search(before) is not None


def is_open(text: str, start: int, end: int, behind: bool = True) -> bool:
    """Whether the words beside ``text[start:end]`` leave it open, or deny it; with ``behind``, also those behind it."""
    opened = _is_open_before(text, start) or (_OPEN_BEHIND.match(text, end) if behind else None)
    return opened is not None or is_denied(text, start, end)


def is_doubted_claim(text: str, start: int) -> bool:
    """Whether an ``answer is`` at ``start`` is spoken of without being given (``I doubt that the answer is``)."""
    return _DOUBTED_CLAIM.search(text[max(0, start - _WIDTH) : start]) is not None


def corrected(text: str, end: int) -> str:
    """The other number that who gave an answer, which ends at ``end``, goes on to; empty where there is none."""
    other = _CORRECTED.match(text, end) or _RECONSIDERED.match(text, end) or _MISTAKEN.match(text, end)
    return other["value"].rstrip(",") if other else ""


def said_again(text: str, end: int) -> str:
    """The number that the sentence behind an answer, which ends at ``end``, says it is, with its unit; empty where it
    says none."""
    again = _SAID_AGAIN.match(text, end)
    return again["value"].rstrip(",") + again["unit"] if again else ""


def taken_back(text: str, start: int) -> int:
    """Where the words end that take the answer back which begins at ``start`` (``4. No wait``); 0 if none do."""
    taken = _TAKEN_BACK.match(text, start)
    return taken.end() if taken else 0


def said_instead(line: str) -> int:
    """Where the answer begins that what follows a denied one gives (``not 7. It is 8``); 0 where it gives none."""
    found = _INSTEAD.match(line)
    return found.end() if found else 0


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


def plainly_another(answer: str, other: str) -> bool:
    """Whether two answers are plain numbers, and not the same one."""
    return bool(_readings(answer) and _readings(other)) and not says_the_same(answer, other)


def _readings(text: str) -> set[Fraction]:
    number = plain_number(clean(text.rstrip("\\%")))
    if number is None:
        return set()
    return {number, number / 100} if text.endswith("%") else {number}


def _is_open_before(text: str, start: int) -> re.Match[str] | None:
    """What stands before a value and leaves it open; an ``or`` that says in numbers what words said does not."""
    before = text[max(0, start - _WIDTH) : start]
    opened = _OPEN_BEFORE.search(before)
    said = _SAID_IN_NUMBERS.search(before) if opened else None
    return None if said and not _HEDGED.search(before) else opened


def open_number(text: str, number: re.Match[str]) -> str:
    """A number with the words beside it that leave it open (``5 or 6``, ``maybe 5``, ``5?``); empty if none do."""
    before = _is_open_before(text, number.start())
    after = _OPEN_BEHIND.match(text, number.end(), number.end() + _WIDTH)
    if before is None and after is None:
        return f"{number.group()}?" if _DENIED_BEHIND.match(text, number.end()) else ""
    opened = f"{before.group() if before else ''}{number.group()}{after.group() if after else ''}".strip()
    opened = opened.replace("$", "") if opened.count("$") % 2 else opened
    # What two values leave open may be a list of both; all else is no answer.
    return opened if re.search(r"\bor\b", opened) or opened.endswith("?") else f"{opened}?"

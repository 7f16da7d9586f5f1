r"""What stands behind the answer of a text and is not it: notes and checks, and what a last sentence says it is for.

``There are 8 integers between 3 and 10``, ``The minimum is -4, which occurs at x = 2``: the last number is not meant.
"""

from __future__ import annotations

import itertools
import re

from tad_core.verify.arithmetic import plainly_differ

#: a paragraph that does not go on with the solution
_ASIDE = re.compile(
    r"\n[ \t]*\n?[\s>*_#(-]{0,8}(?:(?:side )?note|remark|check|verification|disclaimer|for reference|p\.s)"
    r"(?::|\*|\s?\n|,|\sthat\b)(?P<said>[^#]*)\Z",
    re.IGNORECASE,
)
#: in one that does
_GOES_ON = re.compile(
    r"\b(?:so|therefore|thus|hence|wrong|mistake|actually|incorrect|answer|wait|but|however|instead|should"
    r"|error|forg[oe]t|mismatch|too (?:few|many|much|little|small|large|big)|making it|for a total|total comes)\b"
    r"|≠|\\ne"
    r"|\\boxed|!=|,\snot\s\$?\d|\b(?:not|n't) (?:match|agree|equal|work|hold|right|correct|true|\$?\d)",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"(?<![\w.,+*/×-])([\d(][\d\s.+*/()×-]{2,60}?)\s?=\s?(-?\d[\d,]*(?:\.\d+)?)(?!\s?[\w^*/+.-])"
)
_OCCURS = re.compile(
    r"(?P<place>,?\s\(?(?:which\s(?:occurs|happens|is\s(?:achieved|attained|reached))|(?<=,\s)(?:achieved"
    r"|attained|reached))"
    r"\s(?:when|at|for|if|by)\s(?:(?!\sis\s)[^.\n]){1,80}[.$)\s]*)\Z"
)
_EXTREME = re.compile(
    r"\b(?:maximum|minimum|largest|smallest|greatest|least|highest|lowest|shortest"
    r"|longest)\b[^.\n]{0,80}?\s(?:is|of)\s"
    r"[^.\n]{1,40}?(?P<place>,?\s\(?(?:when|at|for)\s(?:(?!\s(?:is|are)\s)[^.\n]){1,60}[.$)\s]*)\Z",
    re.IGNORECASE,
)
_VALUE = (
    r"(?:\$[^$\n]{1,80}\$|\\\((?:(?!\\\)).){1,80}\\\)|\*\*[^*\n]{1,30}\*\*"
    r"|-?\\?\$?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?%?)"
)
_NO_NOUN = (
    r"\w*(?:more|less|fewer|percent|or|and|not|but|which|has|have|had|is|are|was|gives|leaves|equals|so|then|rounds"
    r"|rounded|older|younger|taller|longer|shorter)\b"
)
_NOUNS = rf"(?: (?!{_NO_NOUN}|of\b|times\b)[a-z][a-z'-]*(?: (?!{_NO_NOUN})[a-z][a-z'-]*){{0,4}})"
_NOUNS_OF_A_SUM = rf"(?: (?!(?!more (?!than\b)){_NO_NOUN})[a-z][a-z'-]*){{0,5}}"
_COUNTED = (
    r"(?: [a-z-]+){0,4} (?:integers|numbers|values|primes|multiples|divisors|factors|digits|solutions|pairs"
    r"|squares|cubes"
    r"|elements|terms|subsets)"
)
_FOR = r"(?:between|from|after|before|for|in|within|among|during|on|at)"
_SAID = r"(?:\bthere (?:are|is|were|will be)|\btakes?|\btook|\b(?:answer|total|number|sum|result)\b[^.\n]{0,60}?\sis)"
_JUST = r"(?:\s(?:only|exactly|a total of|about))?"
_WORDS = r"(?:(?!\s(?:is|are|was)\s)[^.;!?\n=≠:])"
_REST = rf" {_WORDS}*\d{_WORDS}{{0,60}}[.!$]*\s*\Z"
_COUNT = re.compile(
    rf"{_SAID}{_JUST}\s{_VALUE}(?:(?:\sof (?:them|these|those))?{_NOUNS}?"
    rf"(?P<for>(?:\s\$?\d+\$?)? (?!in base){_FOR}{_REST})"
    rf"|{_COUNTED}(?P<counted>\s(?:less than|greater than"
    rf"|smaller than|larger than|that are|that is|which are|divisible by|whose){_REST}))",
    re.IGNORECASE,
)
#: ``2 + 4 = 6 kilometers for 2 hours``: behind a sum that is worked out
_WORKED_OUT = re.compile(
    rf"(?<=[\d)%A-Za-z}}])\s?=\s?-?\\?\$?\d[\d,]*(?:\.\d+)?%?\$?{_NOUNS_OF_A_SUM}"
    rf"(?P<for> (?:{_FOR}|of|over|to|when|since|because|if){_REST})",
    re.IGNORECASE,
)
#: ``$18 (9 eggs at $2 each)``
_EXPLAINED = re.compile(
    r"\d\$?(?:\s[a-z]{1,12}){0,4}(?P<for>\s\((?!or\b|not\b|if\b)(?=[^()\n]*\b(?:each|at|per|for|of|from|after"
    r"|since|because|including)\b)"
    r"[^()\n]{3,80}\)[.!]?\s*)\Z"
)
_REMAINDER = re.compile(
    rf"\bremainder\s(?:of|is)\s{_VALUE}(?P<for>\s(?:when|after|upon|if)\b{_REST})", re.IGNORECASE
)
_DIVIDED = re.compile(
    rf"\bremainder\s(?:of|is)\s{_VALUE}(?P<for>\s(?:when|after|upon|if)\s(?:(?!\band\s)[^.;!?\n=≠:]){{0,60}}"
    r"\bdivided by\s[^.;!?\n=≠: ]{1,40}[.!$]*\s*)\Z",
    re.IGNORECASE,
)
#: ``there are 7 values of $n$ with $1 \\le n \\le 20$``
_SUCH = re.compile(
    rf"\bthere (?:are|is|were|will be){_JUST}\s{_VALUE}{_COUNTED}(?P<for>(?:\sof\s\$[^$\n]{{1,30}}\$)?"
    r"\s(?:with|such that|for which|satisfying|where|that (?!is\b|are\b)[a-z]+)\s"
    r"(?![^\n]*\b(?:so|then|each|giving|making|total)\b)(?:[^.;!?\n]|\.(?=\d)){1,160}[.!$]*\s*)\Z",
    re.IGNORECASE,
)
#: ``33 bananas because there is 1 in each batch``: a reason behind what was said
_REASON = re.compile(
    r"(?<!\band)(?<!\bso)(?<!\bthen)(?<!\bbut)(?<![Hh]owever)(?<!\bThus)(?<!\bthat)(?<!\bNow)"
    r",? (?:because|since) (?!.*(?:\b(?:so|then|thus|therefore|hence|which|but)\b|, [a-z]+ .*\d))"
    r"(?:[^.;\n]|\.(?=\d)){1,160}[.!$]*\s*\Z"
)
_RECKONED_OUT = re.compile(r"[\d)%]\s?=")
#: ``320 toys (120 cars, 200 bears)``, ``$3 in total (the shipping is $1.75)``: parts of it, and what else there is
_BESIDE = re.compile(
    r"\d\$?(?:\s[a-z]{1,14}){0,9}(?P<for>\s\((?!(?:which|that|or|i\.e|equivalent|equal|about|approx\w*|roughly|meaning|not|if"
    r"|a total|totall?(?:ing|y)?|rounded)\b)"
    r"(?![^()\n]*(?:[=≈+?*×]|\b(?:so|then|thus|therefore|total|altogether|rounds?|rounded|actually|instead|but|not|or|left|more"
    r"|less|in all|minutes?|hours?|seconds?|cents?|dollars?)\b))"
    r"(?:(?:the|his|her|their|its)\s[a-z ]{2,40}\s(?:is|was|are|were)\s[^()\n]{1,40}"
    r"|(?=[^()\n]*[a-z]{2})[^()\n\d]{0,12}\d[\d.]*(?:\s[^()\n,]{2,40})?,\s(?:and\s)?[^()\n\d]{0,12}\d[^()\n]{1,60})\)[.!]?\s*)\Z"
)
#: ``16 legs for tables with 4 legs each``
_EACH = re.compile(
    r"\d[^.\n]*?[a-z](?<!left)(?<! up)(?<!ended)(?<!ends)"
    r"(?P<for> with \$?\d+ [a-z]+ (?:each|in each|per [a-z]+)[.!]?\s*)\Z"
)
_LEAVES = re.compile(r"\b(?:leav\w+|left with|ends?|ended|ending)\b")
#: ``$300 over the 2 days``, ``6 more miles to meet her goal of 24 miles``, ``15 miles … through his 30-mile drive``
_MEASURED = re.compile(
    r"\d[^.\n]{0,100}?(?P<for>\s(?:(?:over|in|during|for|across|within)\s(?:the|these|those|both|all)(?:\s[a-z]+)?\s\d+\s"
    r"(?:days?|weeks?|months?|years?|hours?|minutes?)|(?:to|toward|of)\s(?:(?:meet|reach|hit|complete|achieve)\s)?"
    r"(?:his|her|their|its|the)\s(?:[a-z]+\s)?(?:goal|target)\sof\s\$?\d[\d,.]*(?:\s[a-z]+)?"
    r"|(?:of|through|for|on|in|during|into)\s(?:his|her|their|its|the|this|each|every)\s\d+-[a-z]+\s[a-z]+)[.!]?\s*)\Z"
)
#: ``$22112_6$ in base 6``
_IN_BASE = re.compile(r"_(?:\d|\{\d{1,2}\})\$?(?P<for>\sin\sbase[\s-]\$?\d{1,2}\$?[.!]?\s*)\Z")
#: what models say behind an answer
_CHATTER = re.compile(
    r"(?:\n|(?<=[.!?*])\s)[ \t]*(?:please )?(?:let me know|feel free|i hope (?:this|that)|if you (?:have|need))\b"
    r"[^\n.!?]{0,200}[.!?]?\s*\Z",
    re.IGNORECASE,
)
#: ``$x = 7$ (we reject $x = -3$)``
_REJECTED = re.compile(
    r"\d[^.\n(]{0,40}(?P<for>\s\((?:[a-z]+,? ){0,3}?(?:(?:reject|discard|exclud|ignor|disregard)(?:s|e|ed|es|ing)?\b"
    r"[^()\n]{1,60}|[^()\n]{1,40}\b(?:extraneous|rejected|discarded|invalid|not valid|impossible)\b[^()\n]{0,30})"
    r"\)[.!]?\s*)\Z",
    re.IGNORECASE,
)
#: ``2 $10 bills``
_WORTH = re.compile(r"\d(?P<for>\s\\?\$\d+(?:\.\d\d)?\s(?:bills?|notes?|coins?|tickets?|coupons?)[^\d\n]*)\Z")
#: ``4 integers: -6, -5, -4 and -3``, ``72 clips: 48 in April and 24 in May``
_LISTED = re.compile(
    r"(?<![\w.,^/])(?P<counted>\$?(?P<value>\d{1,6})\$?)(?:\s[^\d.:\n]{1,80}|[^.:\n]{1,80})?"
    r"(?P<for>(?::|,?\si\.e\.,?|,\s(?:that is|namely),)\s(?P<list>[^\n:=^\\+*/()]{1,200}))\Z"
)
_SUBJECT = re.compile(
    rf"(?:\b(?:thus|so|therefore|hence),?\s(?:we see that )?{_VALUE})"
    r"(?P<for>\sis\s(?:[a-z]+ly\s)?the\s(?:only|first|last|[a-z]+est|least|most)\s[^.;!?\n=≠:]{0,120}[.!$]*\s*)\Z",
    re.IGNORECASE,
)
#: In what an answer is said to be for: what goes on to another value, before its first number and behind its last.
_GOES_ON_BEFORE = re.compile(
    r"\b(?:then|so|but|plus|leaving|making|giving(?!\saway)|totall?ing|bringing|yielding)\b"
    r"|\band (?:(?:a total of|only|just|about|another) )?\\?\$?$|\S\sto (?:get|have|leave|total)\s\$?$"
)
_GOES_ON_BEHIND = re.compile(
    rf"^[^\d,]{{0,12}}\s(?:{_FOR}|when|if|less|greater|more)\b(?! (?:all|total)\b)"
    r"|\b(?:left|altogether|overall|total)\b",
    re.IGNORECASE,
)
#: between two numbers of what it is for: ``3 and 10``, ``5 boxes of 8``, ``2, y = 3``
_JOINED = re.compile(
    r"[^,\d]{0,40}?[\s$(-](?:and|to|or|of|by|at|in|per|than|from|between|through)\s\\?\$?|\s?[-–+*/:]\s?|[^\s,\d]{1,12}"
    r"|\$?,\s?(?:and\s|or\s)?\$?(?:\(?[a-z]\s?=\s?)?"
    r"|[^,\d]{0,40},\s(?:since|because|where|each|per|i\.e\.,?|including)\b[^,\d]{0,60}"
)
_FIGURE = re.compile(r"\d(?:[\d,.]*\d)?")
#: Characters of the end of a text that are looked at for one sentence, and for paragraphs.
_SENTENCE, _PARAGRAPHS = 300, 1_200


def without_asides(text: str) -> str:
    """A text up to where it says its last value, as far as its last words tell; never without any digit."""
    found = _CHATTER.search(text, max(0, len(text) - _SENTENCE))
    text = text[: found.start()] if found and _FIGURE.search(text, 0, found.start()) else text
    for pattern, width in (
        (_ASIDE, _PARAGRAPHS),
        (_OCCURS, _SENTENCE),
        (_EXTREME, _SENTENCE),
    ):
        text = _cut(text, pattern, width)
    for pattern in (_REJECTED, _WORTH, _DIVIDED, _SUCH, _IN_BASE, _BESIDE, _MEASURED):
        found = pattern.search(text, max(0, len(text) - _SENTENCE))
        text = text[: found.start("for")] if found else text
    found = _EACH.search(text, max(0, len(text) - _SENTENCE))
    text = text[: found.start("for")] if found and not _LEAVES.search(found.group()) else text
    text = _without_list(_without_reason(text))
    for pattern in (_EXPLAINED, _COUNT, _WORKED_OUT, _REMAINDER, _SUBJECT):
        text = _cut(text, pattern, _SENTENCE)
    return text


def _without_reason(text: str) -> str:
    """A text without the reason for what its last sentence says, but for one that reckons it out."""
    found = _REASON.search(text, max(0, len(text) - _SENTENCE))
    if found is None:
        return text
    said = re.split(r"\n|[.:] |\\\]|\$\$", text[: found.start()])[-1]
    return text[: found.start()] if _FIGURE.search(said) and not _RECKONED_OUT.search(found.group()) else text


def _without_list(text: str) -> str:
    """A text without the list behind a colon that a number before it counts, or is the sum of."""
    found = _LISTED.search(text, max(0, len(text) - _SENTENCE))
    if found is None:
        return text
    parts = [figure.group().replace(",", "") for figure in _FIGURE.finditer(found["list"])]
    whole = [int(part) for part in parts if part.isdigit()]
    value = int(found["value"])
    says_all = len(parts) > 1 and len(whole) == len(parts) and value in (len(parts), sum(whole))
    others = _FIGURE.search(
        text, found.end("value"), found.start("for")
    )  # 3 multiples of 300: 600, 900 and 1200
    return text[: found.end("counted") if others else found.start("for")] if says_all else text


def _cut(text: str, pattern: re.Pattern[str], width: int) -> str:
    start = max(0, len(text) - width)
    found = pattern.search(text, start)
    if found is None or (pattern is _ASIDE and _goes_on(found["said"])):
        return text
    begin = found.start()
    if pattern is not _ASIDE:
        begin = max(found.start(name) for name in found.groupdict())
        if pattern is not _EXPLAINED and _names_another(text[begin:]):
            return text
    return text[:begin] if re.search(r"\d", text[max(0, begin - width) : begin]) else text


def _goes_on(said: str) -> bool:
    """Whether a note or a check goes on with the solution, or a sum in it comes to another number."""
    sums = _SUM.finditer(said)
    return _GOES_ON.search(said) is not None or any(plainly_differ(found[1], found[2]) for found in sums)


def _names_another(said: str) -> bool:
    """Whether the words behind a value come to another one: ``in each of 3 boxes, giving 36``.

    All numbers of what a value is for are one phrase, and ``for Ann and 5 for Bob`` is none.
    """
    figures = list(_FIGURE.finditer(said))
    if not figures or _GOES_ON_BEFORE.search(said[: figures[0].start()]):
        return bool(figures)
    pairs = list(itertools.pairwise(figures))
    if not all(_JOINED.fullmatch(said, one.end(), other.start()) for one, other in pairs):
        return True
    seconds = [other for one, other in pairs if "and" in said[one.end() : other.start()]]
    return any(_GOES_ON_BEHIND.search(said[other.end() :]) for other in seconds)

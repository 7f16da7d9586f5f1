r"""Mathematics in prose, without marks around it: (3, 4), {1, 2}, 9π, 3√2, 3 + 4i, x = 3 or x = -5, y = 2x + 3.

Where the last number of a text is part of it, the number alone is not what is said.

Each space of a text has one place in a pattern: where two could take it, a list of n values would be tried in 2^n ways.
"""

from __future__ import annotations

import re

from tad_core.verify.formulas import formula_around

_NUMBER = r"\d+(?:\.\d+)?(?:\s?/\s?\d+)?"
_ROOT = r"(?:√\(?\d+\)?|\\sqrt\{[^{}]{1,20}\}|\bsqrt\(\d+\))"
_IRRATIONAL = rf"(?:{_ROOT}|(?<![A-Za-z])(?:π|\\pi|pi)(?![A-Za-z]))(?:\s?/\s?\d+)?"
_QUOTIENT = r"\\[dt]?frac\{[^{}]{1,20}\}\{[^{}]{1,20}\}(?:\s?\\pi(?![A-Za-z]))?"
#: never with space before it: an i alone is a word of prose
_IMAGINARY = r"(?:\d+(?:\.\d+)?|(?<=[-+])|(?<=[-+]\s))i(?![\w^(])"
_TERM = rf"(?:(?:{_NUMBER}(?:\s?\*\s?|\s)?)?{_IRRATIONAL}|\d*{_QUOTIENT}|{_IMAGINARY}|{_NUMBER})"
_VALUE = rf"(?:-\s?)?{_TERM}(?:\s?[-+]\s?{_TERM})*"
_END = r"(?:-?\d+(?:\.\d+)?(?:/\d+)?|-?\+?(?:∞|\\?infty|infinity|\binf\b))"
_LIST = rf"(?:\\?[(\[{{]\s?{_END}(?:\s?,\s?{_END})+\s?\\?[)\]}}]|<\s?{_END}(?:\s?,\s?{_END})+\s?>)"
_NEXT = r"(?:\s?,\s?(?:(?:and|or)\s)?|\s(?:and|or)\s|\s?(?:∪|\\cup|U)\s?)"
_AT_END = r"(?=\s?[.;!]?\s*(?:\Z|\n))"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_LARGER = (
    "dollar|hour|minute|day|week|month|year|foot|feet|yard|mile|pound|meter|kilometer|kilogram|degree|euro"
)
_SMALLER = "cent|minute|second|hour|day|week|month|inch|foot|feet|ounce|centimeter|meter|gram"
_THOUSANDS = re.compile(r"\(\d{1,3}(?:,\d{3})+\)")

_WRITTEN = (
    # a matrix
    re.compile(
        r"(?P<value>-?(?:\d+|\\[dt]?frac\{[^{}]*\}\{[^{}]*\})?\s?\\begin\{(?P<kind>[pb]matrix|array)\}(?:(?!\\end).){1,200}\\end\{(?P=kind)\})",
        re.DOTALL,
    ),
    # (3, 4), [2, 3), {1, 2}; (1, 2) and (3, 4)
    re.compile(rf"(?<![\w)])(?P<value>{_LIST}(?:{_NEXT}{_LIST})*)"),
    # x = 3 or x = -5; x = 2, 3
    re.compile(
        rf"(?<![\w\\])(?P<value>[a-zA-Z]\s?(?:=|≠|!=|\\neq?)\s?{_VALUE}(?:{_NEXT}(?:[a-zA-Z]\s?=\s?)?{_VALUE})+){_AT_END}"
    ),
    # the roots are 2, 3 and 5
    re.compile(
        rf"\b(?:are|were)(?:\sequal\sto)?:?\s(?P<value>{_VALUE}(?:,\s{_VALUE})*(?:,?\s(?:and|or)\s|,\s){_VALUE}){_AT_END}"
    ),
    # 7, 8, 9
    re.compile(rf"(?<![\w.,$)])(?<!\d\s)(?P<value>{_VALUE}(?:[,;]\s{_VALUE}){{2,}}){_AT_END}"),
    # 1011 base 2; June 20th; 4:30 a.m.
    re.compile(r"(?<![\w.,])(?P<value>[0-9A-F]+ (?:in )?base (?:\d{1,2}|[a-z]{3,8}))(?!\w)"),
    re.compile(rf"\b(?P<value>(?:{_MONTHS}) \d{{1,2}})(?:st|nd|rd|th)?(?!,? \d|\w)"),
    re.compile(r"(?<![\w:.])(?P<value>\d{1,2}(?::\d\d)?\s?[apAP]\.?[mM]\b\.?)"),
    # 1 hour and 30 minutes; 18 dollars and 50 cents
    re.compile(
        rf"(?<![\w.,])(?P<value>\d[\d,]*\s(?:{_LARGER})s?,?\s(?:and\s)?\d+(?:\.\d+)?\s(?:{_SMALLER})(?:es|s)?)\b"
    ),
    # the ratio of a to b is 3 to 4
    re.compile(
        r"\b(?:ratio|odds)\b[^.;\n]{0,80}?\b(?:is|are|of|be|=)\s(?P<value>\d+(?:\.\d+)?(?:\sto\s\d+(?:\.\d+)?)+)(?![\w%])"
    ),
)
#: Characters beside the last number that are looked at.
_BEFORE, _BEHIND = 160, 40


def written_value(text: str, last: re.Match[str]) -> tuple[int, int] | None:
    """Where the mathematics begins and ends that the number ``last`` is part of; None where it stands alone."""
    start = max(0, last.start() - _BEFORE)
    for pattern in _WRITTEN if last.end() - last.start() <= _BEFORE else ():
        for found in pattern.finditer(text, start, last.end() + _BEHIND):
            begin, end = found.span("value")
            if begin <= last.start() and last.end() <= end and found["value"].strip() != last.group().strip():
                return None if _THOUSANDS.fullmatch(found["value"]) else (begin, end)
    return formula_around(text, last.start("digits"), last.end())

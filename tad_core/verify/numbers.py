"""The last number of a text, or the mathematics that it is part of."""

from __future__ import annotations

import itertools
import re

from tad_core.verify.arithmetic import value_of
from tad_core.verify.formulas import is_another_name, is_said
from tad_core.verify.hedges import is_denied, is_open, open_number, says_the_same
from tad_core.verify.math_brackets import split_top
from tad_core.verify.math_units import TWO_QUANTITIES, in_one_unit
from tad_core.verify.rounding import exact_before
from tad_core.verify.written import written_value

#: a number with an optional sign, currency, thousands commas, decimals or a fraction bar, but for that of ``cm^2``
_NUMBER = re.compile(
    r"(?:(?<![\w.])(?<![a-z]{2}\^)(?<!\sm\^)|(?<=\\pi\^)|(?<=\\(?:sin|cos|tan)\^)|(?<=\\theta\^)|(?<=\\frac)|(?<=\\[dt]frac)|(?<=\\sqrt)|(?<=\\cdot)|(?<=\\times))"
    r"(?P<sign>-\s?)?(?:\\?[$€£]\s?)?(?P<sign2>-)?"
    r"(?P<digits>[1-9]\d{0,2}(?:,\d{3})+(?!\d)|[1-9]\d?(?:,\d{2}){1,5},\d{3}(?![\d,])"
    r"|[1-9]\d{0,2}(?:[ \u00a0\u202f]\d{3})+(?![\d-]|\s\d)|\d+|(?=\.\d))"
    r"(?P<decimals>\.\d+)?"
    r"(?P<denominator>\s?/\s?\d+)?"
    r"(?P<percent>\s?\\?%)?"
)
#: words behind a number that make another one of it: ``5 million``, ``$5k``, ``5 dozen``, ``5 tenths``
_SCALE = re.compile(
    r"\s?(?:hundred|thousand|[mbtr]{1,2}illion|dozens?|mil|lakh|crore|(?:ten|hundred|thousand|million)ths?"
    r"|(?:third|fourth|fifth|sixth|seventh|eighth|ninth)s|and (?:a|one|three) (?:half|third|quarters?))(?![a-z])"
)
_IN_DOZENS = re.compile(r"(?<![\w.,/])(\d[\d,]*\s?[/÷]\s?12)\s?=\s?$")
#: a heading with nothing below it: its number is none
_CUT_HEADING = re.compile(r"\b(?:step|part|case)\s\d{1,2}\s?:[\s*]*\Z", re.IGNORECASE)
_SCALE_OF_MONEY = re.compile(r"\s?(?:[kKmMB]|bn)(?![A-Za-z])")
#: the whole before a fraction: ``2 1/2``, ``2 and 1/2``
_WHOLE = re.compile(r"(?<![\w.,/])(\d{1,6})\s(?:and\s)?$")
#: what a text ends in that was cut, or left, before it is reckoned out: ``48 + 24``, ``$15 x 8 =``
_NOT_RECKONED = re.compile(
    r"(?<![\w.)/^}\d])\$?\d[\d,.]*+%?(?:\s?[-+*×x÷]\s?\$?\d[\d,.]*+%?)+(?:\s?=)?$"
    r"|(?<![\w.)^}*])\$?\d[\d,./]*+\s?[-+*/×÷=]$"
)
#: a number, and a sum behind it at the end of the text
_SUM_BEHIND = re.compile(
    r"(?<![\w.,/^])(?P<number>\d[\d,]*(?:\.\d+)?)(?:\s[A-Za-z]+){0,4}"
    r"\s\((?P<sum>[$\d.,]+(?:\s?[-+*/×x·]\s?[$\d.,]+)+)\)\W{0,8}\Z"
)
#: mathematics between its marks; dollars with words between them are sums of money
_DISPLAYED = re.compile(
    r"\$\$(?P<double>[^$]+)\$\$|\\\[(?P<display>.+?)\\\]|\\\((?P<inline>.+?)\\\)"
    r"|\\begin\{(?P<kind>align|equation|gather)\*?\}(?P<rows>.+?)\\end\{(?P=kind)\*?\}"
    r"|(?<![\\$\d])(?<!\d[-+*/×x÷])(?<!\d\s[-+*/×x÷]\s)\$(?P<single>(?:\\.|[^$\\\n])+)\$(?!\d)",
    re.DOTALL,
)
_OF_UNKNOWN = re.compile(r"[a-z]\s*=\s*-?(?:\d+(?:\.\d+)?|\d+/\d+|\\frac\{\d+\}\{\d+\})")
_UNKNOWN = re.compile(r"[A-Za-z]")
_TEXT_OR_COMMAND = re.compile(r"\\(?:text|mathrm|mbox)\s?\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{2,}(?![A-Za-z]*\})")
#: between one row, or one equation, and what follows from it
_SO = re.compile(
    r"\\(?:Rightarrow|implies|therefore|iff|Longrightarrow|(?:long)?rightarrow(?=[^{}]*=[^{}]*\Z))(?![A-Za-z])"
)
_JOINED_TO_ROW_ABOVE = re.compile(r"^(?:(?:=|\\equiv(?![a-z])|\\q?quad)\s*)+")
_FRAME = re.compile(r"\\(?:begin|end)\{(?:aligned|split|gathered|align\*?)\}")
_AT_END = re.compile(r"(?:\\[,;:! ]|[., ])+$")
_OR = re.compile(r",?\s\(?(?:or|which is|that is|i\.e\.,?)\s")
_ARE = re.compile(r"\b(?:are|were)(?:\s(?:exactly|therefore|thus|then|just))?:?\s$")
_BETWEEN = re.compile(r"\s?,?\s?(?:and|or|,)\s")
_MATRIX = re.compile(r"\\begin\{(?P<name>[a-zA-Z]*matrix|array|cases)\}.+?\\end\{(?P=name)\}", re.DOTALL)
_ROW = re.compile(r"\\\\(?:\[[^\]]*\])?")
#: ``160 minutes, or 2 hours and 40 minutes``
_IN_TWO_UNITS = re.compile(
    r"(?<![\w.,$])(?P<one>\d[\d,]*(?:\.\d+)? [a-z]{1,12}),?\s(?:or|which is|that is)\s"
    r"(?P<two>\d+ [a-z]{1,12},? (?:and )?\d+(?:\.\d+)? [a-z]{1,12})"
)
#: ``350 cents, or $3.50``
_CENTS_AND_DOLLARS = re.compile(
    r"(?<![\w.,$])(?P<cents>\d[\d,]*) cents?"
    r"(?:,? (?:or|which is|that is) \\?\$(?P<dollars>\d[\d,]*\.\d\d)(?![\w,]|\.\d)"
    r"|\s\((?:or |which is |that is,? )?\\?\$(?P<dollars3>\d[\d,]*\.\d\d)\))"
    r"|(?<![\w.,])\\?\$(?P<dollars2>\d[\d,]*\.\d\d),? (?:or|which is|that is) (?P<cents2>\d[\d,]*) cents?\b"
)
#: ``18, not 19``: what comes before the last number is the answer, and nothing comes behind it
_NOT_ANOTHER = re.compile(
    r"\d(?P<words>(?:\s(?!instead|rather)[a-z]{1,12}){0,2})(?:,\s(?:and\s)?not|,?\s(?:instead\sof|rather\sthan))\s\$?$"
)
_NEGATIVE = re.compile(
    r"(?:\bnegative|(?:(?:^|\n)\s*|\b(?:is|equals|be)\s|[:=]\s?)minus)\s\\?\$?$", re.IGNORECASE
)
_PART_OF_MORE = re.compile(r"[\w.,)$]$|[-+*/×÷^]\s?$|\d\s$")
_END_OF_SENTENCE = re.compile(r"(?:\s[a-z]{2,12})?[.!]?\s*\Z")
#: Characters before the end in which the mathematics of the last number is looked for.
_WIDTH = 2_000
#: and those of a sum that a text ends in.
_WIDTH_OF_REST = 60


def last_value(text: str, of_several: bool = False) -> str:
    """The last number of a text where it stands alone, else the mathematics it is part of (``x = \\frac{3}{4}``).

    With ``of_several``, the values of all unknowns that are given side by side (``$x = 2$ and $y = 5$``).
    """
    number = _last(text)
    if number is None:
        return ""
    if heading := _CUT_HEADING.search(text, max(0, len(text) - _WIDTH_OF_REST)):
        return heading.group().strip()
    if number["decimals"] and (
        exact := exact_before(text, number.start(), number["digits"] + number["decimals"])
    ):
        return rf"{exact} \approx {number['digits']}{number['decimals']}"
    start = max(0, number.start() - _WIDTH)
    before: list[re.Match[str]] = []
    for displayed in _DISPLAYED.finditer(text, start, number.end() + _WIDTH):
        if displayed.start() <= number.start() and number.end() <= displayed.end():
            found = _in_mathematics(displayed)
            if again := _said_before(text, before, *displayed.span(), _row_of(displayed)):
                return again
            if not found:
                if several := _several_numbers(text, displayed, before):
                    return several
                break
            if (
                before
                and is_another_name(text, *displayed.span())
                and _told(_row_of(before[-1])) != _told(found)
            ):
                return found  # 2x = 10, or x = 5
            whole = _with_those_before(text, displayed, before, of_several)
            said = _said_to_be(found) if is_said(text, displayed.start()) else found
            return open_number(text, number) or whole or open_number(text, displayed) or said
        before.append(displayed)
    if again := _said_before(text, before, *number.span(), number.group()):
        return again
    if explained := _explained(text, number):
        return explained
    if quantities := _two_quantities(text, number):
        return quantities
    if written := written_value(text, number):
        begin, end = written
        value = re.sub(r"^\$([^$]+)\$", r"\1", text[begin:end])  # $x$ > 5
        return value + ("?" if is_open(text, begin, end) and not is_another_name(text, begin, end) else "")
    left = _NOT_RECKONED.search(text[max(0, number.start() - _WIDTH_OF_REST) :].rstrip(" \n\t.$"))
    return left.group().replace("$", "") if left else last_number(text)


def _said_before(text: str, before: list[re.Match[str]], begin: int, end: int, value: str) -> str:
    r"""The mathematics that a value behind an ``or`` says again, ``$\frac34$ or 75%``; empty where it does not."""
    if not before or not _OR.fullmatch(text, before[-1].end(), begin) or is_denied(text, begin, end):
        return ""
    exact, again = split_top(_row_of(before[-1]), "=")[-1], split_top(value, "=")[-1]
    return (
        exact if says_the_same(exact, again) and not is_open(text, *before[-1].span(), behind=False) else ""
    )


def _several_numbers(text: str, last: re.Match[str], before: list[re.Match[str]]) -> str:
    """Numbers that something is said to be (``the roots are $1$, $2$ and $-3$``); empty where it is not, or is one."""
    parts, start = [_row_of(last)], last.start()
    for displayed in reversed(before):
        if not _BETWEEN.fullmatch(text, displayed.end(), start) or not _NUMBER.fullmatch(_row_of(displayed)):
            break
        parts.append(_row_of(displayed))
        start = displayed.start()
    said = len(parts) > 1 and _ARE.search(text[max(0, start - _WIDTH_OF_REST) : start])
    return ", ".join(reversed(parts)) if said and not is_denied(text, last.start(), last.end()) else ""


def _said_to_be(formula: str) -> str:
    """The value of what a sentence calls by a formula (``the area is $\\pi r^2 = 9\\pi$``), where that is no name."""
    first, *others = split_top(formula, "=")
    values = list(
        itertools.takewhile(
            lambda side: not _UNKNOWN.search(_TEXT_OR_COMMAND.sub(" ", side)), reversed(others)
        )
    )
    if not values or len(first) < 2 or not _UNKNOWN.search(_TEXT_OR_COMMAND.sub(" ", first)):
        return formula
    return "=".join(reversed(values))


def _two_quantities(text: str, last: re.Match[str]) -> str:
    """``300 minutes, or 5 hours`` where the last number is part of it, and nothing leaves it open or denies it."""
    start = max(0, last.start() - _WIDTH_OF_REST)
    for found in _CENTS_AND_DOLLARS.finditer(text, start, last.end() + _WIDTH_OF_REST):
        cents, dollars = (
            found["cents"] or found["cents2"],
            found["dollars"] or found["dollars2"] or found["dollars3"],
        )
        if found.start() <= last.start() < found.end() and not is_open(text, *found.span()):
            return f"{cents} cents or {dollars} dollars"
    for found in _IN_TWO_UNITS.finditer(text, start, last.end() + _WIDTH_OF_REST):
        if found.start() < last.start() < found.end() and not is_open(text, *found.span()):
            return found["one"] if in_one_unit(found["two"], found["one"]) != found["two"] else ""
    for found in TWO_QUANTITIES.finditer(text, start, last.end() + _WIDTH_OF_REST):
        before = text[start : found.start()]
        if found.start() < last.start() < found.end() and not _PART_OF_MORE.search(before):
            return "" if is_open(text, found.start(), found.end()) else found.group()
    return ""


def explained(text: str) -> str:
    """The 21 of ``21 pieces (7 + 7 + 7)`` that a text ends in; empty where it ends otherwise, or the sum is another."""
    last = _last(text)
    return _explained(text, last) if last else ""


def _explained(text: str, last: re.Match[str]) -> str:
    """The 21 of ``21 pieces (7 + 7 + 7)``, if the sum in the brackets comes to it and ends the text."""
    start = max(0, last.start() - _WIDTH_OF_REST)
    found = _SUM_BEHIND.search(text, start, last.end() + _WIDTH_OF_REST)
    if found is None or is_open(text, *found.span("number")):
        return ""
    number = found["number"].replace(",", "")
    return number if value_of(number) == value_of(found["sum"]) else ""


def _with_those_before(text: str, last: re.Match[str], before: list[re.Match[str]], of_several: bool) -> str:
    """``$x=2$ and $x=3$`` as one answer; empty where there is but one formula that says of this what it is."""
    parts, start = [_in_mathematics(last)], last.start()
    for displayed in reversed(before):
        part = _row_of(displayed)
        if not _BETWEEN.fullmatch(text, displayed.end(), start) or not _alike(part, parts[0], of_several):
            break
        parts.append(part)
        start = displayed.start()
    return ", ".join(reversed(parts)) if len(parts) > 1 else ""


def _alike(first: str, second: str, of_several: bool) -> bool:
    """Whether two formulas say the same of their value, or the values of two unknowns: ``x = 2`` and ``y = 5``."""
    told = _told(first), _told(second)
    return told[0] == told[1] or (of_several and all(map(_OF_UNKNOWN.fullmatch, (first, second))))


def _told(formula: str) -> str:
    """What a formula says the value of: its left side, if it has two."""
    left, sign, _ = formula.partition("=")
    return left.strip() if sign else ""


def _in_mathematics(displayed: re.Match[str]) -> str:
    """What a formula says in its last row; empty where it is no more than a number, or has words in it."""
    row = _row_of(displayed)
    return "" if _NUMBER.fullmatch(row) or _WORD.search(_TEXT_OR_COMMAND.sub(" ", row)) else row


def _row_of(displayed: re.Match[str]) -> str:
    """The last row of a formula, of that what follows from the rest, without what joins it to the one above."""
    content = next(group for name, group in displayed.groupdict().items() if group and name != "kind")
    content = _MATRIX.sub(_in_one_row, content)
    rows = [row for row in _ROW.split(content) if row.strip(" &\n")] or [content]
    row = _AT_END.sub("", " ".join(_FRAME.sub("", rows[-1]).replace("&", "").split()))
    row = _JOINED_TO_ROW_ABOVE.sub("", last_conclusion(row))
    return row.replace("\0", "\\\\").replace("\1", "&")


def last_conclusion(formula: str) -> str:
    """What follows last in a formula: the ``m = 5`` of ``2m = 10 \\Rightarrow m = 5``."""
    return _SO.split(formula)[-1].strip()


def _in_one_row(matrix: re.Match[str]) -> str:
    """A matrix with marks in place of the ends of its rows and columns, which are its own; no lines of equations."""
    if matrix["name"] == "array" and "=" in matrix.group():
        return matrix.group()
    return matrix.group().replace("\\\\", "\0").replace("&", "\1")


def last_number(text: str) -> str:
    """The last number in the text, without its currency sign; a mixed one whole."""
    last = _last(text)
    if last is None:
        return ""
    denied = _NOT_ANOTHER.search(text[max(0, last.start() - _WIDTH_OF_REST) : last.start()])
    if denied and _END_OF_SENTENCE.match(text, last.end()):
        rest = text[: last.start() - len(denied.group()) + 1] + denied["words"]
        before = _last(rest)
        if before is not None and before["digits"] != last["digits"]:
            text, last = rest, before
    negative = _NEGATIVE.search(text[max(0, last.start() - 20) : last.start()])
    if (hedge := open_number(text, last)) and not (
        negative and hedge.startswith("minus") and "or" not in hedge
    ):
        return hedge
    sign = "-" if negative or _is_sign(text, last) else ""
    number = re.sub(r"[,\s]", "", last["digits"]) + (last["decimals"] or "")
    money = re.search(r"[$€£]", last.group())
    dozens = _IN_DOZENS.search(text[max(0, last.start() - _WIDTH_OF_REST) : last.start()])
    if dozens and "dozen" in text[last.end() : last.end() + 7] and value_of(dozens[1]) == value_of(number):
        return sign + number  # 96/12 = 8 dozen
    if scale := _SCALE.match(text, last.end()) or (money and _SCALE_OF_MONEY.match(text, last.end())):
        return f"{sign}{money.group() if money else ''}{number}{scale.group()}"
    if last["denominator"] and (whole := _WHOLE.search(text[max(0, last.start() - 12) : last.start()])):
        number = f"{whole[1]} {number}"
    return sign + number + (last["denominator"] or "").replace(" ", "") + ("%" if last["percent"] else "")


def _is_sign(text: str, match: re.Match[str]) -> bool:
    """Whether the minus before a number is its sign and not a subtraction (``7 - 3``)."""
    if match["sign2"]:
        return True
    if not match["sign"]:
        return False
    before = text[: match.start()]
    if match["sign"] != "-" and before.rstrip(" \t")[-1:] in ("", "\n"):
        return False  # an item of a list
    if before[-1:].isspace() and match["sign"] == "-":  # "to -3", but not "7 - 3" and not "7-3"
        return True
    before = before.rstrip()
    return not (before and (before[-1].isalnum() or before[-1] in ")}]"))


def _last(text: str) -> re.Match[str] | None:
    last: re.Match[str] | None = None
    for last in _NUMBER.finditer(text):  # noqa: B007 (the last match is what is wanted)
        pass
    return last

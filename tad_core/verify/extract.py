"""Find the final answer in a model's text; ``blocks.py`` finds the program."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tad_core.verify.config import DEFAULT_ORDER, ExtractRule
from tad_core.verify.hedges import (
    RECKONED,
    SEVERAL_IN_DOLLARS,
    open_number,
    parts_of_one,
    says_the_same,
    value_behind,
)

#: a number with an optional sign, currency, thousands commas, decimals or a fraction bar
_NUMBER = re.compile(
    r"(?<![\w.])"
    r"(?P<sign>-\s?)?(?:\\?[$€£]\s?)?(?P<sign2>-)?"
    r"(?P<digits>[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)(?P<decimals>\.\d+)?"
    r"(?P<denominator>\s?/\s?\d+)?"
    r"(?P<percent>\s?\\?%)?"
)
_THE_ANSWER_IS = re.compile(r"\banswer\s+is\s*:?\s*|\banswer\s*:\s*", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[.;!?](?:\s|$)|\s(?:because|since|so|which|as|if|when)\s")
_PROSE = re.compile(
    r"(?:the|that|there|equal to|equals|about|approximately|exactly|only|just|an?|it)\s", re.IGNORECASE
)
#: ``$5$ apples``: mathematics, where ``$5 and $6`` are sums of money
_NUMBER_IN_DOLLARS = re.compile(r"\$\d[^$]*\$\s+[A-Za-z][^$]*$")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is a symbol, not a bracket
#: Longer texts than any answer: what lies further from the end than this is not looked at.
_MAX_TEXT = 1_000_000


def extract_answer(text: str, order: Sequence[ExtractRule] = DEFAULT_ORDER) -> str:
    """The final answer in ``text`` by the first rule of ``order`` that finds one; empty if none does."""
    text = text[-_MAX_TEXT:]
    for rule in order:
        found = _RULES[rule](text)
        if found:
            return found
    return ""


def last_boxed(text: str) -> str:
    r"""The content of the last balanced ``\boxed{…}`` (or ``\boxed 7``); empty if there is none.

    A box that is never closed (a text that was cut) is skipped, and so is an empty one. Boxes with no more than a
    comma, ``and`` or ``or`` between them are one answer, and so is a box with another value behind an ``or``.
    """
    boxes = _boxes(text)
    if not boxes:
        return ""
    start, end, content = boxes[-1]
    found = [content]
    for box in reversed(boxes[:-1]):
        if not parts_of_one(text, box[1], start):
            break
        start = box[0]
        if not any(says_the_same(box[2], other) for other in found):
            found.append(box[2])
    answer = r" \text{ or } ".join(reversed(found))
    return answer + _another_behind(text, end, answer)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """The boxes that hold something as (start, end, content)."""
    starts = list(_BOX.finditer(text))
    partners = _partners(text) if starts else {}
    boxes = []
    for start in starts:
        at = end = start.end()
        content = ""
        if text[at : at + 1] == "{":
            if at in partners:
                content, end = text[at + 1 : partners[at]], partners[at] + 1
        elif bare := re.match(r"[^\s${}]+", text[at : at + 64]):
            content, end = bare.group(), at + bare.end()
        if content.strip():
            boxes.append((start.start(), end, content.strip()))
    return boxes


def _another_behind(text: str, end: int, answer: str) -> str:
    """`` or 6`` where the clause behind an answer goes on with another value, and does not say the same again."""
    value = value_behind(text, end)
    same = not value or says_the_same(answer, value) or says_the_same(answer, last_number(value))
    return "" if same else f" or {value}"


def _partners(text: str) -> dict[int, int]:
    """Where each brace that is closed closes. One pass: a text may hold thousands of boxes left open."""
    partners: dict[int, int] = {}
    open_at: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace.group() == "{":
            open_at.append(brace.start())
        elif brace.group() == "}" and open_at:
            partners[open_at.pop()] = brace.start()
    return partners


def after_hashes(text: str) -> str:
    """The rest of the line after the last ``####``, the form of GSM8K's references."""
    _, found, tail = text.rpartition("####")
    return tail.strip().split("\n", 1)[0].strip() if found else ""


def after_the_answer_is(text: str) -> str:
    """What follows the last 'the answer is', to the end of the sentence."""
    matches = list(_THE_ANSWER_IS.finditer(text))
    if not matches:
        return ""
    line = text[matches[-1].end() :].split("\n", 1)[0].strip()
    math = re.match(
        r"\$\$?(?:(?!\d)|(?=[^$]*\\[A-Za-z]))((?:\\.|[^$\\])+)\$|\\\((.+?)\\\)|\*\*(.+?)\*\*", line
    )
    if math:
        answer = next(group for group in math.groups() if group is not None).strip()
        return answer + _another_behind(line, math.end(), answer)
    sentence_end = _CLAUSE_END.search(line)
    clause = (line[: sentence_end.start()] if sentence_end else line).strip(" *\t")
    if SEVERAL_IN_DOLLARS.match(clause) or _NUMBER_IN_DOLLARS.match(clause):
        return clause.replace("$", "")
    if sentence_end and sentence_end.group().startswith("?"):
        return clause + "?"
    if _PROSE.match(clause) and not RECKONED.search(clause):  # "the answer is the sum of both, 12"
        return last_number(clause) or clause
    return clause


def last_number(text: str) -> str:
    """The last number in the text, without its currency sign."""
    last: re.Match[str] | None = None
    for last in _NUMBER.finditer(text):  # noqa: B007 (the last match is what is wanted)
        pass
    if last is None:
        return ""
    if hedge := open_number(text, last):
        return hedge
    sign = "-" if _is_sign(text, last) else ""
    number = last["digits"].replace(",", "") + (last["decimals"] or "")
    return sign + number + (last["denominator"] or "").replace(" ", "") + ("%" if last["percent"] else "")


def _is_sign(text: str, match: re.Match[str]) -> bool:
    """Whether the minus before a number is its sign and not a subtraction (``7 - 3``)."""
    if match["sign2"]:
        return True
    if not match["sign"]:
        return False
    before = text[: match.start()]
    if before[-1:].isspace() and match["sign"] == "-":  # "to -3", but not "7 - 3" and not "7-3"
        return True
    before = before.rstrip()
    return not (before and (before[-1].isalnum() or before[-1] in ")}]"))


_RULES: dict[ExtractRule, Callable[[str], str]] = {
    "boxed": last_boxed,
    "hashes": after_hashes,
    "the_answer_is": after_the_answer_is,
    "last_number": last_number,
}

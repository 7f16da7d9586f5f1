r"""Answers in boxes: ``\boxed{…}``, several that are one answer, and those that a text was cut in."""

from __future__ import annotations

import re

from tad_core.verify.hedges import (
    corrected,
    is_denied,
    parts_of_one,
    plainly_another,
    says_the_same,
    value_behind,
)
from tad_core.verify.numbers import last_number

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is a symbol, not a bracket
#: what holds the place of an answer: dots, a question mark, "your answer"
_PLACEHOLDER = re.compile(
    r"(?:[\s.?_…-]|\\[lc]?dots|\\square)*(?:(?:\\text\{)?\s*(?:your |the |final )*(?:answer|result)(?: here)?\s*\}?)?",
    re.IGNORECASE,
)
#: a sign before a box: at the beginning of its mathematics, or of what a sentence or a line says; "- " begins a list
_SIGN_BEFORE = re.compile(
    r"(?:[$=({&]|\\[(\[]|\\approx) ?- ?$|(?:(?:\A|\n)\s*|\b(?:is|be|are|equals)\s|:\s?)-$", re.IGNORECASE
)
#: ``the answer should be 90`` behind a box
_CLAIM = re.compile(
    r"\banswer(?:\s(?:is|should be|must be|would be))[:\s$*]{1,4}(?P<value>-?\d[\d,]*+(?:\.\d++)?+)"
    r"(?=(?:\s(?!times|more|less|fewer|percent|dozen|plus|minus|out|of|or|and|hundred|thousand|million|billion)[a-z]+){0,2}"
    r"[$*]{0,4}[.!]?\s*(?:\Z|\n))",
    re.IGNORECASE,
)
#: A box that is not closed holds no more characters than this.
_LONGEST = 200
#: what may follow the content of a box whose brace is missing
_CUT = re.compile(r"\$|\\[\])]|\n|\\\\|\\end\{")


def boxed_answer(text: str) -> str:
    """``last_boxed``; where no box is closed, what the last one holds, if that is whole."""
    return last_boxed(text) or _cut_box(text)


def another_behind(text: str, end: int, answer: str) -> str:
    """`` or 6`` where the clause behind an answer goes on with another value, and does not say the same again."""
    value = value_behind(text, end)
    same = not value or says_the_same(answer, value) or says_the_same(answer, last_number(value))
    return "" if same else f" or {value}"


def last_boxed(text: str) -> str:
    r"""The content of the last balanced ``\boxed{…}`` (or ``\boxed 7``); empty if there is none.

    An empty box is skipped, and so is one that is never closed (a text that was cut). Boxes with no more than a
    comma, ``and`` or ``or`` between them are one answer, and so is a box with another value behind an ``or``. A sign
    before the box is part of the answer. One that is denied (``\boxed{7}`` is wrong) ends in a question mark; in the
    place of one that is corrected (``\boxed{7}``. No, 8.) is what follows.
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
    if is_denied(text, start, end):
        return f"{answer}?"
    if (other := corrected(text, end)) and not says_the_same(answer, other):
        return other
    if (claimed := _claimed_behind(text, end)) and plainly_another(answer, claimed):
        return f"{answer} or {claimed}"
    return answer + another_behind(text, end, answer)


def _claimed_behind(text: str, end: int) -> str:
    """The number that a text says behind its last box is the answer; empty where it says none."""
    claims = list(_CLAIM.finditer(text, end))
    return claims[-1]["value"] if claims else ""


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
        if content.strip() and not _PLACEHOLDER.fullmatch(content.strip()[:64]):
            boxes.append((start.start(), end, _with_sign(text, start.start(), content.strip())))
    return boxes


def _with_sign(text: str, start: int, content: str) -> str:
    """The content of a box with the sign before it; a factor behind it was not asked for (W of ``W\\pi``)."""
    if not _SIGN_BEFORE.search(text[max(0, start - 16) : start]):
        return content
    return f"-({content})" if re.search(r"[\w}]\s?[-+]|[=,]", content) else f"-{content}"


def _cut_box(text: str) -> str:
    """What the last box holds where it is not closed: up to the end of its mathematics, if that is whole."""
    start = None
    for start in _BOX.finditer(text):  # noqa: B007 (the last match is what is wanted)
        pass
    if start is None or text[start.end() : start.end() + 1] != "{":
        return ""
    rest = text[start.end() + 1 : start.end() + 1 + _LONGEST]
    end = _CUT.search(rest)
    content = rest[: end.start()].strip() if end else rest.strip()
    opened = sum({"{": 1, "}": -1}.get(brace.group(), 0) for brace in _BRACE.finditer(content))
    return content if opened == 0 and not _PLACEHOLDER.fullmatch(content[:64]) else ""


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

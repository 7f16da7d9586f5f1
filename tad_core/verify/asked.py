"""What a question says of the form of its answer: what it counts in, in which order it names values, in which base.

"How many dozen eggs" is answered by "5 dozen", and its reference says 5.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tad_core.verify.math_shape import Form, Shape, shape_of
from tad_core.verify.math_spelling import spelled

#: ``(b, m)``, no arguments of a function
_NAME = r"\s*(?:[a-zA-Z]|\\(?:theta|phi|rho|alpha|beta|lambda|mu))\s*"
_TUPLE = re.compile(rf"(?<![A-Za-z}}])(?:\\left\s?)?\(({_NAME}(?:,{_NAME}){{1,5}})(?:\\right\s?)?\)")
#: what stands before the tuple that is asked for, where a question has others, too
_ASKED_FOR = re.compile(
    r"\b(?:find|enter|compute|determine|give|form|ordered (?:pair|triple|quadruple)s?)\b[^.;()]*$",
    re.IGNORECASE,
)
_BEFORE = 60
_BASE = re.compile(r"\bbase[\s-]\$?(\d{1,2}|[a-z]{3,8})\b")
_SPOKEN = "zero one two three four five six seven eight nine ten eleven twelve"
_DIGITS = re.compile(r"(-?[0-9A-G]{1,60})")
#: Characters of the end of a question that are looked at.
_LONGEST = 20_000
_WORDS = r"(?P<word>dozen|hundred|thousand|million|billion|trillion)s?"
_COUNTED = re.compile(
    rf"\bhow (?:many|much)(?: more| whole| full| fewer)? {_WORDS}\b"
    rf"|\b(?:in|number of) (?:the |whole )?{_WORDS.replace('word', 'other')}\b(?! (?:place|digit|column))"
    r"[^.?!]*[.?!]?\s*$",
    re.IGNORECASE,
)


def counted_in(question: str) -> str | None:
    """The word for a number that the question asks for so many of; of several the last."""
    found = list(_COUNTED.finditer(question))
    return (found[-1]["word"] or found[-1]["other"]).lower() if found else None


def in_units(text: str, word: str) -> str:
    """The text with that word as a unit behind numbers, and no longer a number itself."""
    return re.sub(
        rf"(?<=\d)(\}}?\$?\s?(?:\\text\s?\{{\s?)?){word}s?(?![A-Za-z])(?: of\b)?",
        r"\1units",
        text,
        flags=re.IGNORECASE,
    )


def as_asked(answer: str, reference: str, question: str) -> str:
    """An answer as the question has it meant: a tuple of its names in its order, digits in its base.

    ``m = 3, b = 4`` is (4, 3) where the question asks for ``(b, m)``. As it is where the question says nothing of it,
    and where the reference is of another form.
    """
    names, base = list(_TUPLE.finditer(question[-_LONGEST:])), _BASE.findall(question[-_LONGEST:])
    if not names and not base:
        return answer
    want = shape_of(spelled(reference))
    if want.form is Form.BRACKETED and names:
        values = _by_name(shape_of(spelled(answer)))
        order = _order_of(values, names) if len(values) == len(want.items) else ()
        if order:
            return f"({', '.join(values[name] for name in order)})"
    if want.form is Form.BASED and want.label in (_number_of(word) for word in base):
        digits = _DIGITS.fullmatch(answer.strip().strip("$"))
        return f"{digits[1]}_{{{want.label}}}" if digits else answer
    return answer


def _order_of(values: Collection[str], tuples: list[re.Match[str]]) -> tuple[str, ...]:
    """The order in which a question has these names; of several that which it asks for; empty where that is not one."""
    orders = {found: tuple(name.strip() for name in found[1].split(",")) for found in tuples}
    those = {found: order for found, order in orders.items() if sorted(order) == sorted(values)}
    if len(set(those.values())) > 1:
        those = {
            found: order
            for found, order in those.items()
            if _ASKED_FOR.search(found.string[max(0, found.start() - _BEFORE) : found.start()])
        }
    return those.popitem()[1] if len(set(those.values())) == 1 else ()


def _by_name(shape: Shape) -> dict[str, str]:
    """The values of ``x = 3, y = 4`` by their names; empty where it is something else."""
    values: dict[str, str] = {}
    if shape.form is not Form.COLLECTION or shape.unit not in ("", "and"):
        return {}
    for item in shape.items:
        name, sign, value = item.text.partition("=")
        if item.form is not Form.RELATION or len(item.items) != 1 or not sign or not value:
            return {}
        values[name.strip()] = value
    return values if len(values) == len(shape.items) else {}


def _number_of(base: str) -> str:
    """``2`` of ``two``."""
    words = _SPOKEN.split()
    return str(words.index(base)) if base in words else base

r"""The shape of an answer: a number with a unit, a tuple, a set, an interval, a matrix …

Shapes decide what algebra must never blur: order, brackets, units, percent and number bases. Only the
scalars inside them are compared as mathematics.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from tad_core.verify.math_text import clean, plain_number, split_unit, unwrap, without_name


class Form(StrEnum):
    """What kind of thing an answer is."""

    NUMBER = "number"
    SCALAR = "scalar"
    #: ``(a, b)``, ``[a, b)``: ordered, and the brackets count
    BRACKETED = "bracketed"
    #: ``{a, b}`` or a bare ``a, b``: any order
    COLLECTION = "collection"
    UNION = "union"
    MATRIX = "matrix"
    EQUATION = "equation"
    BASED = "based"
    WORDS = "words"


@dataclass(frozen=True)
class Shape:
    """An answer taken apart.

    Attributes:
        form: what it is.
        text: its cleaned text.
        items: its parts (a matrix lists its entries row by row).
        label: what must match beside the parts: brackets, rows x columns, the base.
        value: the exact number, for a number.
        unit: the unit as one name; empty where none is written.
    """

    form: Form
    text: str
    items: tuple[Shape, ...] = ()
    label: str = ""
    value: Fraction | None = None
    unit: str = ""


_MATRIX = re.compile(r"^\\begin\{([pb]?matrix|array)\}(?:\{[^}]*\})?(.*)\\end\{\1\}$", re.DOTALL)
_BASED = re.compile(r"^([+-]?\{?[0-9A-Za-z.]+\}?)_(?:\{(\d{1,3})\}|(\d{1,3}))$")
_CHOICE = re.compile(r"^\(?([A-Z])\)?$")
_DEGREES = re.compile(r"\^(?:\\circ|\{\\circ\})$")
_CLOCK = re.compile(r"^\d{1,6}(?::\d{1,6})+$")
_EMPTY_SET = frozenset({r"\emptyset", r"\varnothing", r"\lbrace \rbrace", "∅"})


@lru_cache(maxsize=8192)  # a reference is compared with many predictions
def shape_of(answer: str) -> Shape:
    """Take an answer apart."""
    matrix = _matrix(unwrap(answer))
    if matrix:
        return matrix
    value_text, unit = split_unit(answer)
    text = clean(value_text)
    shape = _shape(text)
    if shape.form is Form.WORDS and unit and ":" not in shape.text:  # words behind words are no unit
        return _shape(clean(answer))
    return Shape(shape.form, shape.text, shape.items, shape.label, shape.value, unit)


def _shape(text: str) -> Shape:
    number = plain_number(text)
    if number is not None:
        return Shape(Form.NUMBER, text, value=number)
    degrees = _DEGREES.search(text)
    if degrees and degrees.start() > 0 and degrees.end() == len(text):
        bare = _shape(text[: degrees.start()])
        return Shape(bare.form, bare.text, bare.items, bare.label, bare.value, "degree")
    if text in _EMPTY_SET:
        return Shape(Form.COLLECTION, r"\emptyset", label="set")
    if based := _BASED.match(text.replace("\\_", "_")):
        return Shape(Form.BASED, based[1].strip("{}").upper(), label=based[2] or based[3])
    if choice := _CHOICE.match(text):
        return Shape(Form.SCALAR if text == choice[1] else Form.WORDS, choice[1])
    if _CLOCK.match(text):
        return Shape(Form.WORDS, ":".join(part.lstrip("0") or "0" for part in text.split(":")))
    if re.search(r"\\pm(?![a-z])", text) and text.count(r"\pm") == 1:
        both = (re.sub(r"^\+", "", text.replace(r"\pm", sign)) for sign in "+-")
        return Shape(Form.COLLECTION, text, tuple(_shape(part) for part in both), label="list")
    return _composed(text) or _leaf(text)


def _composed(text: str) -> Shape | None:
    """The shape of a text with parts; None if it has none."""
    parts = split_top(text, r"\cup")
    if len(parts) > 1:
        return Shape(Form.UNION, text, tuple(_shape(part) for part in parts))
    parts = split_top(text, ",")
    if len(parts) > 1:
        named = [without_name(part) for part in parts if part]
        if len({name for name, _ in named}) == 1:  # x=1, x=2; but x=1, y=2 keep their names
            parts = [value for _, value in named]
        return Shape(Form.COLLECTION, text, tuple(_shape(part) for part in parts if part), label="list")
    if text.startswith(r"\lbrace ") and text.endswith(r"\rbrace"):
        inner = text[len(r"\lbrace ") : -len(r"\rbrace")].strip()
        if "|" not in inner and ":" not in inner and r"\mid" not in inner:
            items = tuple(_shape(part) for part in split_top(inner, ",") if part)
            return Shape(Form.COLLECTION, text, items, label="set")
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and _encloses(text):
        parts = split_top(text[1:-1], ",")
        if len(parts) > 1:
            return Shape(
                Form.BRACKETED, text, tuple(_shape(part) for part in parts), label=text[0] + text[-1]
            )
    sides = split_top(text, "=")
    if len(sides) == 2 and all(sides):
        return Shape(Form.EQUATION, text, tuple(Shape(Form.SCALAR, side) for side in sides))
    return None


def _leaf(text: str) -> Shape:
    """A scalar, or words: two letters in a row that are no LaTeX command are a word if nothing else is left."""
    bare = re.sub(r"\\[A-Za-z]+", "", text)
    if re.fullmatch(r"[A-Za-z'’.\-&;:!?]{3,}", bare) and bare == text:
        return Shape(Form.WORDS, text.casefold())
    return Shape(Form.SCALAR, text)


def _matrix(text: str) -> Shape | None:
    match = _MATRIX.match(text.replace(r"\left", "").replace(r"\right", "").strip("()[] \n"))
    if match is None:
        return None
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr(?![a-z])", match[2]) if row.strip()]
    cells = [[shape_of(cell) for cell in row.split("&")] for row in rows]
    if not cells or any(len(row) != len(cells[0]) for row in cells):
        return Shape(Form.SCALAR, clean(text).replace("\\\\", "\\"))
    items = tuple(cell for row in cells for cell in row)
    flat = clean(text).replace("\\\\", "\\")
    return Shape(Form.MATRIX, flat, items, label=f"{len(cells)}x{len(cells[0])}")


def split_top(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no bracket. ``[a, b)`` closes as well as ``[a, b]`` does."""
    parts, depth, start, i = [], 0, 0, 0
    while i < len(text):
        if text.startswith(separator, i) and depth == 0:
            parts.append(text[start:i])
            i += len(separator)
            start = i
            continue
        step, change = _bracket(text, i)
        depth = max(0, depth + change)
        i += step
    parts.append(text[start:])
    return [part.strip() for part in parts]


def _bracket(text: str, i: int) -> tuple[int, int]:
    """Length of the token at ``i`` and how it changes the depth."""
    if text[i] == "\\":
        command = re.compile(r"\\(?:[A-Za-z]+ ?|.)").match(text, i)
        name = command.group().strip() if command else "\\"
        change = {r"\lbrace": 1, r"\rbrace": -1, r"\langle": 1, r"\rangle": -1}.get(name, 0)
        return (len(command.group()) if command else 1), change
    return 1, {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[i], 0)


def _encloses(text: str) -> bool:
    """Whether the first bracket is closed by the last: ``(a)(b)`` is a product, not a pair."""
    depth, i = 0, 0
    while i < len(text):
        step, change = _bracket(text, i)
        depth += change
        i += step
        if depth == 0:
            return i >= len(text)
    return False

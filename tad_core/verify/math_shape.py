r"""The shape of an answer: a number with a unit, a tuple, a set, an interval, a matrix …

Shapes decide what algebra must never blur: order, brackets, units, percent and number bases. Only the
scalars inside them are compared as mathematics.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from tad_core.verify.math_brackets import at_top, encloses, split_top
from tad_core.verify.math_number import plain_number
from tad_core.verify.math_text import JOINED_BY, clean, unwrap, without_name
from tad_core.verify.math_units import TRIGONOMETRIC, split_unit
from tad_core.verify.math_value import values_of
from tad_core.verify.math_words import NO_NUMBERS, meant_by, without_article


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
    #: ``a = b``, ``a < b \\le c``: what it says of neighbours, each of them read from left to right
    RELATION = "relation"
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
        name: what the answer is called (the ``x`` of ``x = 5``); empty where it has no name.
    """

    form: Form
    text: str
    items: tuple[Shape, ...] = ()
    label: str = ""
    value: Fraction | None = None
    unit: str = ""
    name: str = ""


_MATRIX = re.compile(r"^\\begin\{([pb]?matrix|smallmatrix|array)\}(?:\{[^}]*\})?(.*)\\end\{\1\}$", re.DOTALL)
#: ``\\mathbf{v} =`` and ``\\frac{1}{2}`` before a matrix
_MATRIX_NAME = re.compile(
    r"^(?:\\begin\{[pb]matrix\}[\sa-z\\&]{1,60}\\end\{[pb]matrix\}"
    r"|(?:\\(?:mathbf|vec|overrightarrow|boldsymbol|bm|text)\s*\{?)?\s*[a-zA-Z]{1,2}(?:\^(?:\{-1\}|\{?T\}?|2|\{?\\top\}?)|\})*)"
    r"\s*=\s*(?=.*\\begin\{)"
)
_MATRIX_FACTOR = re.compile(
    r"^(-?(?:\d+|\\[dt]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}|\\[dt]?frac\d\d|\d+/\d+)|-)\s*(?:\\cdot|\\times)?\s*(?=\\begin|\\left)"
)
_BASED = re.compile(r"^([+-]?(?:\{?[0-9A-Za-z.]+\}?|\([0-9A-Za-z.]+\)))_(?:\{(\d{1,3})\}|(\d{1,3}))$")
#: ``1011_{two}``, ``1011 (base 2)``, as cleaned
_BASE_IN_WORDS = re.compile(
    r"(?:_\{?([a-z]{3,8})\}?|(?<=[0-9A-Z)}])(?:_\{)?\(?(?:in)?(?:base|_\{?\()-?_?\{?(\d{1,2}|[a-z]{3,8})\}?\)?\}?)$"
)
_BASES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
_CHOICE = re.compile(r"^\(?([A-Z])\)?$")
_DEGREES = re.compile(r"\^(?:\\circ|\{\\circ\})$")
_WORD = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm)\s*\{\s*([A-Za-z]{2,})\s*\}")
_EITHER_SIGN = re.compile(r"\\(pm|mp)(?![a-z]) ?")
_RELATION = re.compile(r"=|<|>|\\le |\\ge |\\ne ")
_TURNED = {"=": "=", "<": ">", ">": "<", r"\le ": r"\ge ", r"\ge ": r"\le ", r"\ne ": r"\ne "}
_CLOCK = re.compile(r"^\d{1,6}(?::\d{1,6})+$")
#: ``{x : x > 3}``
_BUILT_SET = re.compile(
    r"^\\lbrace ([a-zA-Z])(?:\\in ?\\mathbb\{R\})?(?:\||:|\\mid ?|\\colon ?)(.*)\\rbrace$", re.DOTALL
)
#: ``]1,2[``
_OPEN_OUTWARDS = re.compile(
    r"(^|(?<=\\cup)|(?<=\\cup ))([\[\]])([^\[\](),]+),([^\[\](),]+)([\[\]])(?=$|\\cup)"
)
_EMPTY_SET = frozenset({r"\emptyset", r"\varnothing", r"\lbrace \rbrace", "∅"})


@lru_cache(maxsize=8192)  # a reference is compared with many predictions
def shape_of(answer: str) -> Shape:
    """Take an answer apart."""
    answer = without_article(unwrap(answer))
    matrix = _matrix(_MATRIX_NAME.sub("", answer))
    if matrix:
        return matrix
    if word := _WORD.fullmatch(answer):  # one word, though its letters could be a product
        return _words(word[1])
    name, written = without_name(answer)
    value_text, unit = split_unit(written)
    shape = _shape(clean(value_text))
    if shape.form is Form.WORDS and unit and ":" not in shape.text:  # words behind words are no unit
        shape, unit = _shape(clean(written)), ""
    if shape.form is Form.COLLECTION and not unit:
        shape = _said_twice(shape, written) or shape
        unit = _joint(shape, written)
    return replace(shape, unit=unit or shape.unit, name=re.sub(r"\s", "", name))


def _said_twice(shape: Shape, written: str) -> Shape | None:
    """The one number of ``\\frac12 or 0.5`` and ``\\frac12 or 50\\%``, where ``1, 1`` are two."""
    joints = {group for match in JOINED_BY.finditer(written) for group in match.groups() if group}
    based = any(item.form is Form.BASED for item in shape.items)  # whose text is not all it says
    if len(shape.items) != 2 or not joints or "and" in joints or based:
        return None
    first, second = sorted((shape_of(item.text) for item in shape.items), key=lambda item: item.unit == "%")
    if first.value is None or second.value is None or first.unit not in ("", second.unit):
        return None
    share = second.value / 100 if second.unit == "%" and not first.unit else second.value
    return first if first.value == share else None


def _joint(shape: Shape, written: str) -> str:
    """The ``and`` or ``or`` between inequalities or choices: it says what holds, and may be left out as a unit may."""
    if not all(_is_condition(item) for item in shape.items):
        return ""
    joints = {"and" if "and" in match.groups() else "or" for match in JOINED_BY.finditer(written)}
    return joints.pop() if len(joints) == 1 else ""


def _is_condition(item: Shape) -> bool:
    inequality = item.form is Form.RELATION and re.search(r"[<>]|\\(?:[lg]e|ne) ", item.text) is not None
    return inequality or _CHOICE.match(item.text) is not None


def excludes_points(shape: Shape) -> bool:
    """Whether a list says ``x \\ne 1, 3``: what is no condition in it is another point that is left out."""
    first = shape.items[:1]
    return all(
        r"\ne " in item.text if item.form is Form.RELATION else item.form is Form.NUMBER
        for item in shape.items
    ) and all(item.form is Form.RELATION for item in first)


def scalar_shape(text: str) -> Shape:
    """The shape of a cleaned text without name and unit."""
    return _shape(text)


def _shape(text: str) -> Shape:
    text = _OPEN_OUTWARDS.sub(_inwards, text)
    number = plain_number(text)
    if number is not None:
        return Shape(Form.NUMBER, text, value=number)
    degrees = _DEGREES.search(text)
    if degrees and degrees.start() > 0 and not TRIGONOMETRIC.search(text):
        bare = _shape(text[: degrees.start()])
        return Shape(bare.form, bare.text, bare.items, bare.label, bare.value, "degree")
    if text in _EMPTY_SET:
        return Shape(Form.COLLECTION, r"\emptyset", label="set")
    if based := _BASED.match(_BASE_IN_WORDS.sub(_base_as_index, text.replace("\\_", "_"))):
        return Shape(Form.BASED, re.sub(r"[{}()]", "", based[1]).upper(), label=based[2] or based[3])
    if choice := _CHOICE.match(text):
        return Shape(Form.SCALAR if text == choice[1] else Form.WORDS, choice[1])
    if _CLOCK.match(text):
        hours, _, rest = text.partition(":")
        return Shape(Form.WORDS, f"{hours.lstrip('0') or '0'}:{rest}")
    return _composed(text) or _leaf(text)


def _inwards(match: re.Match[str]) -> str:
    """``]1,2[`` as ``(1,2)``."""
    if (match[2], match[5]) == ("[", "]"):
        return match.group()
    opening, closing = "(" if match[2] == "]" else "[", ")" if match[5] == "[" else "]"
    return f"{match[1]}{opening}{match[3]},{match[4]}{closing}"


def _base_as_index(match: re.Match[str]) -> str:
    base = match[1] or match[2]
    if base in _BASES.split():
        base = str(_BASES.split().index(base))
    return f"_{{{base}}}" if base.isdigit() else match.group()


def _composed(text: str) -> Shape | None:
    """The shape of a text with parts; None if it has none."""
    parts = split_top(text, r"\approx")
    if len(parts) == 2 and _rounds(parts[0], parts[1]):
        return _shape(parts[0])
    parts = split_top(text, r"\cup")
    if len(parts) > 1:
        return Shape(Form.UNION, text, tuple(_shape(part) for part in parts))
    if text == r"(-\infty,\infty)":
        return Shape(Form.SCALAR, r"\mathbb{R}")
    parts = split_top(text, ",")
    if len(parts) > 1:
        named = [without_name(part) for part in parts if part]
        if len({name for name, _ in named}) == 1:  # x=1, x=2; but x=1, y=2 keep their names
            parts = [value for _, value in named]
        return Shape(Form.COLLECTION, text, _members(parts), label="list")
    if text.startswith(r"\lbrace ") and text.endswith(r"\rbrace"):
        inner = text[len(r"\lbrace ") : -len(r"\rbrace")].strip()
        if "|" not in inner and ":" not in inner and r"\mid" not in inner:
            return Shape(Form.COLLECTION, text, _members(split_top(inner, ",")), label="set")
    if built := _BUILT_SET.match(text):
        condition = _shape(built[2])
        several = condition.form is Form.COLLECTION and (
            all(map(_is_condition, condition.items)) or excludes_points(condition)
        )
        return condition if several or condition.form is Form.RELATION else None
    if both := _with_both_signs(text):
        return Shape(Form.COLLECTION, text, tuple(_shape(part) for part in both), label="list")
    if vector := re.fullmatch(r"\\langle ?(.+)\\rangle", text):
        entries = tuple(_shape(part) for part in split_top(vector[1], ","))
        return Shape(Form.BRACKETED, text, entries, label="<>")
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and encloses(text):
        parts = split_top(text[1:-1], ",")
        if len(parts) > 1:
            return Shape(
                Form.BRACKETED, text, tuple(_shape(part) for part in parts), label=text[0] + text[-1]
            )
        if relation := _relation(parts[0]):
            return relation
    return _relation(text)


def _rounds(exact: str, rounded: str) -> bool:
    """Whether ``rounded`` is about ``exact``, within one per cent: then it adds nothing to it."""
    value, other = values_of(exact), values_of(rounded.replace(r"\$", ""))
    return value is not None and other is not None and abs(value[0] - other[0]) <= 0.01 * abs(value[0])


def _members(parts: list[str]) -> tuple[Shape, ...]:
    """The members that the parts of a list stand for: ``1 \\pm x`` is two of them."""
    return tuple(_shape(member) for part in parts if part for member in _with_both_signs(part) or (part,))


def _with_both_signs(text: str) -> tuple[str, ...]:
    """``a+b`` and ``a-b`` of ``a \\pm b``; empty where no sign, or more than one pair of signs, is open."""
    signs = [match[1] for match in _EITHER_SIGN.finditer(text)]
    if sorted(signs) not in (["pm"], ["mp", "pm"], ["mp"]):
        return ()
    upper, lower = (
        _EITHER_SIGN.sub(lambda match: "+" if match[1] == "pm" else "-", text),
        _EITHER_SIGN.sub(lambda match: "-" if match[1] == "pm" else "+", text),
    )
    return tuple(re.sub(r"(^|[(\[{,=])\+", r"\1", part) for part in (upper, lower))


def _relation(text: str) -> Shape | None:
    """``a < b = c`` as the pairs ``a<b`` and ``b=c``, with every sign turned so that none is a ``>``."""
    found = at_top(text, _RELATION)
    signs = [match.group() for match in found]
    starts, ends = [0, *(match.end() for match in found)], [*(match.start() for match in found), len(text)]
    sides = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    if not signs or not all(sides):
        return None
    pairs = []
    for sign, left, right in zip(signs, sides, sides[1:], strict=False):
        turn = sign in (">", r"\ge ")
        pairs.append(f"{right}{_TURNED[sign]}{left}" if turn else f"{left}{sign}{right}")
    return Shape(Form.RELATION, text, tuple(Shape(Form.SCALAR, pair) for pair in pairs))


def _leaf(text: str) -> Shape:
    """A scalar, or words: letters and their punctuation, where three letters or a dot make a word of them."""
    if re.fullmatch(r"[A-Za-z'’.\-&;:!?]{3,}", text) and re.search(r"[A-Za-z]{3}|[A-Za-z]\.", text):
        return _words(text)
    return Shape(Form.SCALAR, text)


def _words(text: str) -> Shape:
    words = meant_by(text)
    if words == NO_NUMBERS:
        return Shape(Form.COLLECTION, r"\emptyset", label="set")
    return Shape(Form.SCALAR if words.startswith("\\") else Form.WORDS, words)


def _matrix(text: str) -> Shape | None:
    factor = _MATRIX_FACTOR.match(text)
    if factor:
        text = text[factor.end() :]
    bare = text.replace(r"\left", "").replace(r"\right", "").strip()
    while bare[:1] + bare[-1:] in ("()", "[]"):
        bare = bare[1:-1].strip()
    match = _MATRIX.match(bare)
    if match is None:
        return None
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr(?![a-z])", match[2]) if row.strip()]
    factors = "" if factor is None else "-1" if factor[1] == "-" else factor[1]
    written = [[f"{factors}({cell})" if factors else cell for cell in row.split("&")] for row in rows]
    cells = [[shape_of(cell) for cell in row] for row in written]
    if not cells or any(len(row) != len(cells[0]) for row in cells):
        return Shape(Form.SCALAR, factors + clean(text).replace("\\\\", "\\"))
    items = tuple(cell for row in cells for cell in row)
    flat = factors + clean(text).replace("\\\\", "\\")
    return Shape(Form.MATRIX, flat, items, label=f"{len(cells)}x{len(cells[0])}")

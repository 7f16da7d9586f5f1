r"""Sets of numbers under their several names: ``x < 3`` is ``(-\infty, 3)``, ``x \ne 1`` two intervals.

And tuples: ``x = 3, y = 4`` is ``(3, 4)``; ratios: ``2:3`` is ``\frac23``. Only the shape is changed here; ends and
values stay as they are written.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction

from tad_core.verify.math_brackets import split_top
from tad_core.verify.math_number import plain_number
from tad_core.verify.math_shape import Form, Shape, excludes_points, scalar_shape

_LETTER = re.compile(r"[a-zA-Z](?:\([a-zA-Z]\))?|\\(?:theta|alpha|beta|lambda|phi|rho)")
#: coordinates and lines, whose names are not in the order of the alphabet
_USUAL = (("r", r"\theta", "z"), (r"\rho", r"\theta", r"\phi"), ("m", "b"))
_VALUE = re.compile(r"(?:\\(?:frac|sqrt|pi|infty|ln|log)(?![a-z])|[\d.+\-/{}()^ e\[\]])+")
_SIGN = re.compile(r"\\(?:le|ge|ne) |[<>=]")
_PAIR = re.compile(r"(.+?)(\\le |\\ne |<)(.+)")
_BARS = re.compile(r"\|([^|]+)\|")
_PUNCTURED = re.compile(
    r"(\\mathbb\{R\}|[(\[][^()\[\]]*[)\]])(?:\\(?:setminus|backslash) ?|-)\\lbrace (.*)\\rbrace"
)
_ALL = ("", r"-\infty", r"\infty", "")
#: ``2:3``; with a nought behind the colon it is a time, and so it is beside what can be no more than a time
_RATIO = re.compile(r"([^:]+):(?!0\d)([^:]+)")
_TIME = re.compile(r"(?:1?\d|2[0-3]):[0-5]\d")
_HALVES_OF_DAY = ("am", "pm")
#: More unknowns than this are no tuple.
_MAX_UNKNOWNS = 6


def alike(got: Shape, want: Shape) -> tuple[Shape, Shape]:
    """Two shapes, one of them rewritten where they are one set, or one tuple, under two names."""
    got, want = _without_bars(got), _without_bars(want)
    if not (_TIME.fullmatch(got.text) and _TIME.fullmatch(want.text)):
        got, want = _as_quotient(_on_the_hour(got)), _as_quotient(_on_the_hour(want))
    forms = {got.form, want.form}
    if Form.MATRIX in forms and Form.BRACKETED in forms:
        return _as_column(got), _as_column(want)
    if Form.COLLECTION in forms and len(forms) > 1:
        got, want = _only_member(got), _only_member(want)
    if Form.UNION in forms and Form.COLLECTION in forms:
        got, want = _as_union(got), _as_union(want)
    if forms & {Form.BRACKETED, Form.UNION} and got.form is not want.form:
        return _rewritten(got, want), _rewritten(want, got)
    return got, want


def _as_quotient(shape: Shape) -> Shape:
    r"""``2:3`` as ``\frac{2}{3}``."""
    ratio = _RATIO.fullmatch(shape.text) if shape.form in (Form.WORDS, Form.SCALAR) else None
    if ratio is None or shape.unit in _HALVES_OF_DAY or not all(map(_VALUE.fullmatch, ratio.groups())):
        return shape
    quotient = scalar_shape(rf"\frac{{{ratio[1]}}}{{{ratio[2]}}}")
    return replace(quotient, unit=shape.unit, name=shape.name)


def _on_the_hour(shape: Shape) -> Shape:
    """``3:00 p.m.`` as ``3 p.m.``"""
    hour, _, minutes = shape.text.partition(":")
    if shape.form is not Form.WORDS or shape.unit not in _HALVES_OF_DAY or minutes != "00":
        return shape
    return replace(scalar_shape(hour), unit=shape.unit, name=shape.name)


def _without_bars(shape: Shape) -> Shape:
    """``|x| < 3`` as ``-3 < x < 3``, and ``|x| > 3`` as two intervals."""
    if shape.form is not Form.RELATION or len(shape.items) != 1:
        return shape
    pair = _PAIR.fullmatch(shape.items[0].text)
    if pair is None or pair[2] == r"\ne ":
        return shape
    left, sign, right = pair.groups()
    outside = _BARS.fullmatch(left) is None
    bars, end = _BARS.fullmatch(right if outside else left), left if outside else right
    value = plain_number(end)
    if bars is None or not _LETTER.fullmatch(bars[1]) or value is None or value <= 0:
        return shape
    if not outside:
        pairs = (f"-{end}{sign}{bars[1]}", f"{bars[1]}{sign}{end}")
        return replace(shape, items=tuple(Shape(Form.SCALAR, text) for text in pairs))
    opening, closing = ("(", ")") if sign == "<" else ("[", "]")
    parts = (_interval("(", r"-\infty", f"-{end}", closing), _interval(opening, end, r"\infty", ")"))
    return Shape(Form.UNION, shape.text, parts)


def _rewritten(shape: Shape, other: Shape) -> Shape:
    if shape.form not in (Form.RELATION, Form.COLLECTION, Form.SCALAR):
        return shape
    found = _as_tuple(shape, other) if other.form is Form.BRACKETED else None
    if interval := found or _as_interval(_as_one_condition(shape)):
        return interval
    return _without_points(shape) or _interval_without_points(shape) or shape


def _as_one_condition(shape: Shape) -> Shape:
    """``x > 3 and x < 5`` as ``3 < x < 5``."""
    if shape.form is not Form.COLLECTION or shape.unit != "and":
        return shape
    return Shape(Form.RELATION, shape.text, tuple(pair for item in shape.items for pair in item.items))


def _without_points(shape: Shape) -> Shape | None:
    """``x \\ne 1, -1`` and ``x \\ne 1 and x \\ne -1`` as the intervals between the points."""
    if shape.form is not Form.COLLECTION or shape.unit not in ("", "and") or not shape.items:
        return None
    points, letters = [], set()
    for item in shape.items:
        pair = _PAIR.fullmatch(item.text) if item.form is Form.RELATION else None
        if pair and pair[2] == r"\ne " and _LETTER.fullmatch(pair[1]):
            letters.add(pair[1])
            points.append(pair[3])
        elif item.form is Form.NUMBER and letters:
            points.append(item.text)
        else:
            return None
    return _around(points) if len(letters) == 1 else None


def _interval_without_points(shape: Shape) -> Shape | None:
    r"""``-1 \le x \le 1, x \ne 0`` as the intervals that the points leave of the first one."""
    if shape.form is not Form.COLLECTION or shape.unit not in ("", "and") or len(shape.items) < 2:
        return None
    first, *others = shape.items
    if first.form is not Form.RELATION or not excludes_points(replace(shape, items=tuple(others))):
        return None
    whole = _as_interval(first)
    relations = [item.text for item in shape.items if item.form is Form.RELATION]
    sides = [side for text in relations for side in _SIGN.split(text)]
    if whole is None or whole.form is not Form.BRACKETED or len(set(filter(_LETTER.fullmatch, sides))) != 1:
        return None
    return _cut(whole, [_SIGN.split(item.text)[-1] for item in others])


def _cut(interval: Shape, points: list[str]) -> Shape | None:
    """What points within an interval leave of it."""
    low, high = (item.text for item in interval.items)
    ends = [low, *points, high]
    known = [value for value in map(_place, ends) if value is not None]
    if len(known) != len(ends):
        return None
    order = sorted(range(1, len(ends) - 1), key=known.__getitem__)
    order = [0, *order, len(ends) - 1]
    if not all(known[a] < known[b] for a, b in itertools.pairwise(order)):
        return None
    parts = []
    for a, b in itertools.pairwise(order):
        opening = interval.label[:1] if a == 0 else "("
        closing = interval.label[1:] if b == len(ends) - 1 else ")"
        parts.append(_interval(opening, ends[a], ends[b], closing))
    return Shape(Form.UNION, "", tuple(parts))


def _place(end: str) -> Fraction | float | None:
    """Where on the line an end lies; None where it is no plain number."""
    infinite = {r"\infty": math.inf, r"-\infty": -math.inf}
    return infinite.get(end) if end in infinite else plain_number(end)


def _as_union(shape: Shape) -> Shape:
    """Intervals in a list as their union; also conditions of which one must hold."""
    if shape.form is not Form.COLLECTION or shape.unit not in ("", "or"):
        return shape
    parts = [_as_interval(item) or item for item in shape.items]
    intervals = bool(parts) and all(part.form is Form.BRACKETED and len(part.items) == 2 for part in parts)
    return replace(shape, form=Form.UNION, items=tuple(parts), unit="", label="") if intervals else shape


def _only_member(shape: Shape) -> Shape:
    """The 5 of the set of 5 alone."""
    alone = shape.form is Form.COLLECTION and shape.label == "set" and len(shape.items) == 1
    return shape.items[0] if alone and shape.items[0].form is not Form.COLLECTION else shape


def _as_column(shape: Shape) -> Shape:
    r"""A vector ``\langle 1,2 \rangle`` as the column it is."""
    if shape.form is not Form.BRACKETED or shape.label != "<>":
        return shape
    return replace(shape, form=Form.MATRIX, label=f"{len(shape.items)}x1")


def _as_tuple(shape: Shape, other: Shape) -> Shape | None:
    """``x = 3, y = 4`` as the values in the order of the other's names, else the usual one."""
    if shape.form is not Form.COLLECTION or other.label not in ("()", "<>") or shape.unit not in ("", "and"):
        return None
    if not 2 <= len(shape.items) == len(other.items) <= _MAX_UNKNOWNS:
        return None
    values: dict[str, Shape] = {}
    for item in shape.items:
        name, sign, value = item.text.partition("=")
        if item.form is not Form.RELATION or len(item.items) != 1 or not sign or not _LETTER.fullmatch(name):
            return None
        values[name] = scalar_shape(value)
    names = other.name[1:-1].split(",") if other.name.startswith("(") else _in_order(values)
    if sorted(names) != sorted(values) or len(values) != len(shape.items):
        return None
    return Shape(Form.BRACKETED, shape.text, tuple(values[name] for name in names), label=other.label)


def _in_order(names: Collection[str]) -> list[str]:
    """Names as their values stand in a tuple: (r, θ), (m, b); others by the alphabet, Greek behind Latin."""
    for usual in _USUAL:
        if set(names) <= set(usual):
            return sorted(names, key=usual.index)
    return sorted(names, key=lambda name: (name.startswith("\\"), name))


def _as_interval(shape: Shape) -> Shape | None:
    """The interval, or the two, in which a condition on one letter holds; None if it is no such condition."""
    if shape.form is Form.BRACKETED:
        return shape
    if shape.form is Form.SCALAR:
        return _all_but(shape.text)
    if shape.form is not Form.RELATION or len(shape.items) > 2:
        return None
    opening, lowest, highest, closing = _ALL
    letters = set()
    for item in shape.items:
        pair = _PAIR.fullmatch(item.text)
        if pair is None:
            return None
        left, sign, right = pair.groups()
        if sign == r"\ne ":
            point = right if _LETTER.fullmatch(left) else left
            return _around([point]) if len(shape.items) == 1 and _VALUE.fullmatch(point) else None
        if _LETTER.fullmatch(left) and _VALUE.fullmatch(right) and not closing:
            letters.add(left)
            highest, closing = right, ")" if sign == "<" else "]"
        elif _LETTER.fullmatch(right) and _VALUE.fullmatch(left) and not opening:
            letters.add(right)
            lowest, opening = left, "(" if sign == "<" else "["
        else:
            return None
    return _interval(opening or "(", lowest, highest, closing or ")") if len(letters) == 1 else None


def _all_but(text: str) -> Shape | None:
    punctured = _PUNCTURED.fullmatch(text)
    if punctured is None:
        return None
    points = split_top(punctured[2], ",")
    if punctured[1].startswith("\\"):
        return _around(points)
    whole = scalar_shape(punctured[1])
    return _cut(whole, points) if whole.form is Form.BRACKETED and len(whole.items) == 2 else None


def _around(points: list[str]) -> Shape | None:
    """All numbers but some."""
    if len(points) > 1:
        values = [plain_number(point) for point in points]
        known = [value for value in values if value is not None]
        if len(known) != len(points):
            return None
        points = [point for _, point in sorted(zip(known, points, strict=True))]
    ends = [r"-\infty", *points, r"\infty"]
    parts = tuple(_interval("(", low, high, ")") for low, high in itertools.pairwise(ends))
    return Shape(Form.UNION, "", parts)


def _interval(opening: str, lowest: str, highest: str, closing: str) -> Shape:
    text = f"{opening}{lowest},{highest}{closing}"
    return Shape(Form.BRACKETED, text, (scalar_shape(lowest), scalar_shape(highest)), label=opening + closing)

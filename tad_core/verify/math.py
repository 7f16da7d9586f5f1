r"""Decide whether two mathematical answers are the same.

Three steps, cheapest first: the same text, the same shape with the same exact numbers, and only then
algebra (math-verify and sympy), which runs in a killable process and not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Literal

from tad_core.verify.congruences import remainder_said
from tad_core.verify.math_ends import either_of, end_of, is_sentence, number_said, without_choice
from tad_core.verify.math_number import simple_number
from tad_core.verify.math_sets import alike
from tad_core.verify.math_shape import Form, Shape, shape_of
from tad_core.verify.math_spelling import spelled
from tad_core.verify.math_text import clean, readable
from tad_core.verify.math_units import in_one_unit
from tad_core.verify.math_value import clearly_differ
from tad_core.verify.rounding import in_two_notations
from tad_core.verify.verdict import MathVerdict

#: ``number``: the answer is one number (GSM8K). ``expression``: anything (MATH).
MathKind = Literal["number", "expression"]

_CURRENCIES = ("$", "€", "£")
#: ``540 m`` where it cannot be a product
_WITH_SYMBOL = re.compile(r"^(-?\d[\d,]*(?:\.\d+)?)\s?[mgLlsh]$")
#: ``12,34,567``, as it is written in India: one number where one is asked for
_INDIAN = re.compile(r"^(\\?\$?)([1-9]\d?)((?:,\d{2})+,\d{3})(?![\d,])")
#: ``200minutes``: a space that was left out before a word
_GLUED = re.compile(r"^(\\?\$?-?\d[\d,]*(?:\.\d+)?)(?=(?!(?:th|st|nd|rd)\b)[a-z]{4,}\b)")
#: ``A'(1, 4)``: a point and its place
_POINT = re.compile(r"^[A-Z]'*\s?(?=\()")
#: ``odd function`` where the reference has the first word alone
_NOUN = re.compile(
    r"^(\\text(?:bf|rm)?\s*\{)?\s*([a-z]{3,}) (?:function|number|integer|triangle|curve|conic)\s*(\})?$",
    re.IGNORECASE,
)
_FUNCTION = re.compile(r"[a-zA-Z]\([a-z]\)")


class Unsure(Enum):
    """The one thing a quick comparison can say beside a verdict."""

    NEEDS_ALGEBRA = "needs algebra"


Outcome = MathVerdict | Unsure
#: compares two scalars, or two relations of two sides (``"a=b"``, ``"a<b"``), given as cleaned text
ScalarEqual = Callable[[str, str], Outcome]


def quick_equal(prediction: str, reference: str, kind: MathKind = "expression") -> Outcome:
    """Compare without algebra; ``NEEDS_ALGEBRA`` where that cannot decide. Microseconds, any thread."""
    return compare(prediction, reference, kind, lambda a, b: Unsure.NEEDS_ALGEBRA)


def math_equal(
    prediction: str, reference: str, kind: MathKind = "expression", timeout_s: float = 5.0
) -> MathVerdict:
    """Whether a predicted answer is the reference; ``timeout_s`` bounds the algebra, in CPU seconds.

    Safe from any thread. The first call that needs algebra starts a process of its own that lives as
    long as this one; for many pairs use a ``Verifier``, which has several.
    """
    outcome = quick_equal(prediction, reference, kind)
    if isinstance(outcome, MathVerdict):
        return outcome
    from tad_core.verify.math_process import shared_algebra

    return shared_algebra().compare(prediction, reference, kind, timeout_s)


def compare(prediction: str, reference: str, kind: MathKind, scalar_equal: ScalarEqual) -> Outcome:
    """Compare two answers, leaving scalars that are no plain numbers to ``scalar_equal``."""
    if not readable(prediction) or not readable(reference):
        return MathVerdict.UNPARSABLE
    # One space each: a pattern with two runs of space side by side would try every way to part a long one.
    prediction, reference = remainder_said(spelled(prediction)), spelled(reference)
    if kind == "number":
        prediction = _INDIAN.sub(lambda found: found[1] + found[2] + found[3].replace(",", ""), prediction)
    numbers = simple_number(prediction), simple_number(reference)
    if numbers[0] is not None and numbers[1] is not None:
        return MathVerdict.EQUAL if numbers[0] == numbers[1] else MathVerdict.DIFFERENT
    for one in either_of(reference):
        if compare(prediction, one, kind, scalar_equal) is MathVerdict.EQUAL:
            return MathVerdict.EQUAL
    if notations := in_two_notations(prediction):
        outcomes = [compare(one, reference, kind, scalar_equal) for one in notations]
        return MathVerdict.EQUAL if MathVerdict.EQUAL in outcomes else outcomes[0]
    if kind == "number":
        prediction = _GLUED.sub(r"\1 ", _WITH_SYMBOL.sub(r"\1", prediction))
    prediction = in_one_unit(prediction, reference)
    prediction, reference = without_choice(prediction, reference), without_choice(reference, prediction)
    got, want = shape_of(prediction), shape_of(reference)
    if want.form is Form.BRACKETED and got.form is Form.SCALAR:
        got = shape_of(_POINT.sub("", prediction))
    if want.form is Form.WORDS and got.form is Form.WORDS and (noun := _NOUN.match(prediction)):
        shorter = shape_of(rf"\text{{{noun[2]}}}")
        got = shorter if shorter.text == want.text else got
    if (
        want.form is Form.NUMBER
        and got.form is not Form.NUMBER
        and (kind == "number" or is_sentence(prediction))
    ):
        ended = end_of(got, want)
        if ended is None or ended[0].form is not Form.NUMBER:
            said = number_said(prediction)
            if said is not None and said.value is not None:
                return MathVerdict.EQUAL if said.value == want.value else MathVerdict.DIFFERENT
            if kind == "number":
                return MathVerdict.UNPARSABLE
    if units_differ(got.unit, want.unit):
        return MathVerdict.DIFFERENT
    if _same_text(clean(prediction), clean(reference)):
        return MathVerdict.EQUAL
    return _compare(got, want, scalar_equal)


def units_differ(got: str, want: str) -> bool:
    """A unit that is not written is not wrong; two that are written must agree, but that of money may say for what."""
    if got in _CURRENCIES or want in _CURRENCIES:
        got, want = got.partition(" ")[0], want.partition(" ")[0]
    return bool(got and want and got != want)


def _same_text(got: str, want: str) -> bool:
    return bool(got) and got.replace("\\\\", "\\") == want.replace("\\\\", "\\")


def _compare(got: Shape, want: Shape, scalar_equal: ScalarEqual) -> Outcome:
    if units_differ(got.unit, want.unit):
        return MathVerdict.DIFFERENT
    for shape, other in ((got, want), (want, got)):
        if ended := end_of(shape, other, is_reference=shape is want):
            pairs = [(ended[0], other), *((shape_of(a), shape_of(b)) for a, b in ended[1])]
            return _all(_compare(a, b, scalar_equal) for a, b in pairs)
    got, want = alike(got, want)
    scalars = (Form.NUMBER, Form.SCALAR)
    related = [shape for shape in (got, want) if shape.form is Form.RELATION]
    named = [shape for shape in (got, want) if shape.form in scalars and shape.name]
    if len(related) + len(named) == 2 and (related or names_differ(got.name, want.name)):
        return _compare_parts(_as_relation(got), _as_relation(want), scalar_equal)
    if _names_several(got.name) == _names_several(want.name) and names_differ(got.name, want.name):
        return MathVerdict.DIFFERENT
    if got.form is Form.NUMBER and want.form is Form.NUMBER:
        return MathVerdict.EQUAL if got.value == want.value else MathVerdict.DIFFERENT
    if got.text == want.text and got.form is want.form and got.label == want.label:
        return MathVerdict.EQUAL
    if Form.WORDS in (got.form, want.form):
        same = got.text.casefold() == want.text.casefold()
        return MathVerdict.EQUAL if same else MathVerdict.DIFFERENT
    if got.form in scalars and want.form in scalars:
        texts = _scalar_text(got), _scalar_text(want)
        if clearly_differ(*texts):
            return MathVerdict.DIFFERENT
        return scalar_equal(*texts)
    if got.form is not want.form:
        return MathVerdict.DIFFERENT
    return _compare_parts(got, want, scalar_equal)


def _scalar_text(shape: Shape) -> str:
    """A text for the algebra, to which ``2e3`` would be a product."""
    if shape.value is None or "e" not in shape.text.lower():
        return shape.text
    return rf"\frac{{{shape.value.numerator}}}{{{shape.value.denominator}}}"


def _names_several(name: str) -> bool:
    """Whether a name is that of a tuple, ``(x,y)``: another sort of name than ``P``."""
    return name.startswith("(")


def names_differ(got: str, want: str) -> bool:
    """A name that is not written is not wrong; two must agree, but for ``y`` and a function (``f(x)``)."""
    if not (got and want) or got == want:
        return False
    return not ({got, want} & {"y"} and (_FUNCTION.fullmatch(got) or _FUNCTION.fullmatch(want)))


def _as_relation(shape: Shape) -> Shape:
    """``y`` named ``2x+3`` as ``y=2x+3``."""
    if shape.form is Form.RELATION:
        return shape
    text = f"{shape.name}={shape.text}"
    return Shape(Form.RELATION, text, (Shape(Form.SCALAR, text),))


def _compare_parts(got: Shape, want: Shape, scalar_equal: ScalarEqual) -> Outcome:
    """Compare two of the same form."""
    if got.form is Form.BASED:
        same = got.text == want.text and got.label == want.label
        return MathVerdict.EQUAL if same else MathVerdict.DIFFERENT
    if len(got.items) != len(want.items):
        return MathVerdict.DIFFERENT
    if got.form in (Form.BRACKETED, Form.MATRIX):
        if got.label.replace("<>", "()") != want.label.replace("<>", "()"):
            return MathVerdict.DIFFERENT
        return _all(_compare(a, b, scalar_equal) for a, b in zip(got.items, want.items, strict=True))
    return _match_in_any_order(got.items, want.items, scalar_equal)


def _all(outcomes: object) -> Outcome:
    """Different if any part is; equal if all are; else the first thing that kept a part undecided."""
    undecided: Outcome | None = None
    for outcome in outcomes:  # type: ignore[attr-defined]
        if outcome is MathVerdict.DIFFERENT:
            return MathVerdict.DIFFERENT
        if outcome is not MathVerdict.EQUAL and undecided is None:
            undecided = outcome
    return undecided or MathVerdict.EQUAL


def _match_in_any_order(
    got: tuple[Shape, ...], want: tuple[Shape, ...], scalar_equal: ScalarEqual
) -> Outcome:
    """Pair off the parts. Equality is transitive, so that taking the first partner is enough."""
    left = list(want)
    undecided: Outcome | None = None
    for part in got:
        for i, other in enumerate(left):
            outcome = _compare(part, other, scalar_equal)
            if outcome is MathVerdict.EQUAL:
                del left[i]
                break
            if outcome is not MathVerdict.DIFFERENT and undecided is None:
                undecided = outcome
        else:
            if undecided is None:
                return MathVerdict.DIFFERENT
    return MathVerdict.EQUAL if not left else (undecided or MathVerdict.DIFFERENT)

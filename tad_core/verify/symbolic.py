"""Algebra on scalars: math-verify reads the LaTeX, exact and high-precision arithmetic compare it.

Imported in the worker process only: sympy is slow to load and its time cannot be bounded from within.
Equality is decided by evaluation to 50 digits, at several points where there are variables, and never
by rounding: 1e-7 is not 2e-7. By Schwartz and Zippel two expressions that agree at random points to
that many digits are the same but for a chance far below that of a hardware fault.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sympy  # type: ignore[import-untyped]
from math_verify import LatexExtractionConfig, parse
from math_verify import verify as math_verify_verify

from tad_core.verify.verdict import MathVerdict

_POWER_OF_FUNCTION = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc|log|ln))\^\{?(\d)\}?\s*(\\?[A-Za-z]+|\([^()]*\)|\{[^{}]*\})"
)
_DIGITS = 50
#: Two values are the same if they agree to this many significant digits.
_AGREE = sympy.Float("1e-30", _DIGITS)
_ZERO = sympy.Float("1e-42", _DIGITS)
#: Values for variables. Two points have negative values, so that |x| is not taken for x.
_POINTS = tuple(
    tuple(sympy.Rational(n, d) for n, d in row)
    for row in (
        ((137, 89), (211, 97), (59, 83), (307, 101), (73, 41), (89, 53), (61, 37), (149, 71)),
        ((-113, 79), (167, 91), (-71, 61), (223, 103), (-47, 43), (97, 59), (-83, 67), (131, 73)),
        ((101, 73), (-179, 83), (67, 47), (-239, 109), (53, 31), (-79, 61), (109, 89), (-127, 97)),
    )
)


def warm_up() -> bool:
    """Load what the first comparison would load."""
    return scalar_equal(r"\frac{\sqrt{8}}{2}", r"\sqrt{2}") is MathVerdict.EQUAL


def scalar_equal(got: str, want: str) -> MathVerdict:
    """Compare two scalars, or two equations, given as cleaned text."""
    if got == want:
        return MathVerdict.EQUAL
    if "=" in got and "=" in want:
        return _equations_equal(got, want)
    left, right = read(got), read(want)
    if left is None or right is None:
        return MathVerdict.UNPARSABLE
    return MathVerdict.EQUAL if same(left, right) else MathVerdict.DIFFERENT


def _equations_equal(got: str, want: str) -> MathVerdict:
    """``a = b`` is ``c = d`` if ``a - b`` is a constant times ``c - d``."""
    sides = [read(side) for text in (got, want) for side in text.split("=", 1)]
    if any(side is None or not isinstance(side, sympy.Expr) for side in sides):
        return MathVerdict.UNPARSABLE
    a, b, c, d = sides
    ratios = _values((a - b) / (c - d))
    if not ratios or any(ratio is None for ratio in ratios):
        return MathVerdict.DIFFERENT
    constant = all(_close(ratio, ratios[0]) for ratio in ratios) and abs(ratios[0]) > _ZERO
    return MathVerdict.EQUAL if constant else MathVerdict.DIFFERENT


@lru_cache(maxsize=2048)  # a reference is compared with many predictions
def read(text: str) -> Any:
    """The sympy object a cleaned text means, with its decimals exact; None if it means nothing."""
    found = parse(
        "$" + _readable(text) + "$",
        extraction_config=[LatexExtractionConfig(boxed_match_priority=-1)],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
        raise_on_error=False,
    )
    if not found or isinstance(found[0], str):
        return None
    return _exact(found[0])


def _readable(text: str) -> str:
    """Undo what cleaning did for comparison and a LaTeX grammar would miss."""
    text = _POWER_OF_FUNCTION.sub(r"(\1 \3)^{\2}", text)
    return text.replace(r"\lbrace", r"\{").replace(r"\rbrace", r"\}")


def _exact(value: Any) -> Any:
    if isinstance(value, sympy.Basic):
        floats = {number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)}
        # In an answer, i is the imaginary unit; the parser takes it for a variable.
        units = {symbol: sympy.I for symbol in value.free_symbols if symbol.name == "i"}
        return value.xreplace(floats | units) if floats or units else value
    return value


def same(left: Any, right: Any) -> bool:
    """Whether two sympy objects are the same mathematics."""
    if left == right:
        return True
    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        if left.is_infinite or right.is_infinite:
            return bool(left.is_infinite and right.is_infinite and left == right)
        return _same_values(left, right)
    relational = sympy.core.relational.Relational
    if isinstance(left, relational) and isinstance(right, relational):
        return bool(left.canonical == right.canonical)
    if type(left) is type(right):
        return bool(math_verify_verify(right, left, strict=True, timeout_seconds=None))
    return False


def _same_values(left: sympy.Expr, right: sympy.Expr) -> bool:
    ours, theirs = _values(left, right.free_symbols), _values(right, left.free_symbols)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None or b is not None]
    return bool(pairs) and all(a is not None and b is not None and _close(a, b) for a, b in pairs)


def _values(expression: sympy.Expr, others: set[sympy.Symbol] | None = None) -> list[Any]:
    """The expression at each point, to 50 digits; None where it has no finite value."""
    symbols = sorted(expression.free_symbols | (others or set()), key=str)
    if len(symbols) > len(_POINTS[0]):
        return []
    values = []
    for point in _POINTS if symbols else _POINTS[:1]:
        value = expression.evalf(_DIGITS, subs=dict(zip(symbols, point, strict=False)))
        known = value.is_number and value.is_finite and _is_numeric(value)
        values.append(value if known else None)
    return values


def _is_numeric(value: sympy.Expr) -> bool:
    real, imaginary = value.as_real_imag()
    return bool(real.is_Float or real.is_Rational) and bool(imaginary.is_Float or imaginary.is_Rational)


def _close(a: sympy.Expr, b: sympy.Expr) -> bool:
    size = max(abs(a), abs(b))
    return bool(size < _ZERO or abs(a - b) <= _AGREE * size)

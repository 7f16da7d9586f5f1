"""Algebra on scalars: latex2sympy (math-verify's parser) reads the LaTeX, exact arithmetic and 50 digits compare.

Imported in the worker process only: sympy is slow to load and its time cannot be bounded from within.
Equality is decided by values, at several points where there are variables: exactly where they are rational,
else to 30 significant digits, however small they are. By Schwartz and Zippel two expressions that agree at
random points to that many digits are the same but for a chance far below that of a hardware fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Any

import sympy  # type: ignore[import-untyped]
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy.core.function import AppliedUndef  # type: ignore[import-untyped]

from tad_core.verify.exact import exact_value
from tad_core.verify.math_latex import grammar_text
from tad_core.verify.sums import counted, is_of_terms, written_out
from tad_core.verify.verdict import MathVerdict

#: ``R`` is not ``r``
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_RELATION = re.compile(r"=|<|\\le |\\ne ")
_DOUBLE_FACTORIAL = re.compile(r"(\d+)!!")
_DIGITS = 50
#: Two values are the same if they agree to this many significant digits.
_AGREE = sympy.Float("1e-30", _DIGITS)
#: Members of a set are tried in every order; a set with more of them is compared as it is written.
_MAX_MEMBERS = 6
#: Values for variables. Two points have negative values, so that |x| is not taken for x.
_POINTS = tuple(
    tuple(sympy.Rational(n, d) for n, d in row)
    for row in (
        ((137, 89), (211, 97), (59, 83), (307, 101), (73, 41), (89, 53), (61, 37), (149, 71)),
        ((-113, 79), (167, 91), (-71, 61), (223, 103), (-47, 43), (97, 59), (-83, 67), (131, 73)),
        ((101, 73), (-179, 83), (67, 47), (-239, 109), (53, 31), (-79, 61), (109, 89), (-127, 97)),
    )
)
#: and for numbers of terms, at each point: odd and even
_COUNTS = (5, 8, 12)


def warm_up() -> bool:
    """Load what the first comparison would load."""
    return scalar_equal(r"\frac{\sqrt{8}}{2}", r"\sqrt{2}") is MathVerdict.EQUAL


def scalar_equal(got: str, want: str) -> MathVerdict:
    """Compare two scalars, or two relations of two sides each, given as cleaned text."""
    if got == want:
        return MathVerdict.EQUAL
    signs = _RELATION.search(got), _RELATION.search(want)
    if signs[0] and signs[1]:
        return _relations_equal(got, want, signs[0], signs[1])
    left, right = read(got), read(want)
    if left is None or right is None:
        return MathVerdict.UNPARSABLE
    return MathVerdict.EQUAL if same(left, right) else MathVerdict.DIFFERENT


def _relations_equal(got: str, want: str, got_sign: re.Match[str], want_sign: re.Match[str]) -> MathVerdict:
    """``a = b`` is ``c = d`` if ``a - b`` is a constant times ``c - d``; for ``a < b`` a positive one."""
    if got_sign.group() != want_sign.group():
        return MathVerdict.DIFFERENT
    texts = (
        got[: got_sign.start()],
        got[got_sign.end() :],
        want[: want_sign.start()],
        want[want_sign.end() :],
    )
    sides = [read(side) for side in texts]
    if not all(isinstance(side, sympy.Expr) for side in sides):
        return MathVerdict.UNPARSABLE
    a, b, c, d = sides
    symbols = set().union(*(side.free_symbols for side in sides))
    if not symbols:  # 1 = 2 is 2 = 4 only as written
        return MathVerdict.EQUAL if same(a, c) and same(b, d) else MathVerdict.DIFFERENT
    counts = set().union(*map(counted, sides))
    ours, theirs = (
        _values(sympy.Add(a, -b, evaluate=False), symbols, counts),
        _values(sympy.Add(c, -d, evaluate=False), symbols, counts),
    )
    directed = got_sign.group() in ("<", r"\le ")
    return MathVerdict.EQUAL if _proportional(ours, theirs, directed) else MathVerdict.DIFFERENT


def _proportional(ours: Sequence[Any], theirs: Sequence[Any], directed: bool) -> bool:
    """Whether one list of values is a constant, which is positive if ``directed``, times the other."""
    if not ours or any(value is None for value in (*ours, *theirs)):
        return False
    anchor = next((i for i, value in enumerate(theirs) if not _is_zero(value)), None)
    if anchor is None or _is_zero(ours[anchor]):
        return False
    factor = ours[anchor] / theirs[anchor]
    if directed and not (factor.is_real and factor > 0):
        return False
    return all(_close(a * theirs[anchor], b * ours[anchor]) for a, b in zip(ours, theirs, strict=True))


@lru_cache(maxsize=2048)  # a reference is compared with many predictions
def read(text: str) -> Any:
    """The sympy object a cleaned text means, with its decimals exact; None if it means nothing."""
    prepared = grammar_text(text)
    if prepared is None:
        return None
    try:
        # No assumption about any symbol: those of two texts must be the same symbols.
        found = latex2sympy(prepared, is_real=None, normalization_config=None, conversion_config=_CONVERSION)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the parser raises it, and whatever sympy raises, on what it cannot read
        return None
    if not isinstance(found, sympy.Basic | sympy.MatrixBase):
        return None
    meant = _exact(found)
    return None if _divides_by_zero(meant) or is_of_terms(meant) else meant


def _divides_by_zero(value: Any) -> bool:
    """Whether a part of it is a quotient by zero, of which all are one to sympy."""
    powers = value.atoms(sympy.Pow)
    return value.has(sympy.zoo, sympy.nan) or any(p.base.is_zero and p.exp.is_negative for p in powers)


def _exact(value: Any) -> Any:
    """Decimals as fractions, ``i``, ``n!!`` and applied functions as they are meant, derivatives worked out."""
    meant: dict[Any, Any] = {number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)}
    meant |= {call: sympy.Symbol(str(call)) for call in value.atoms(AppliedUndef)}
    for symbol in value.free_symbols:
        if symbol.name == "i":
            meant[symbol] = sympy.I
        elif double := _DOUBLE_FACTORIAL.fullmatch(symbol.name):
            meant[symbol] = sympy.factorial2(int(double[1]))
    value = value.xreplace(meant) if meant else value
    # dy/dx stays: no one says what y is.
    derived = [d for d in value.atoms(sympy.Derivative) if d.expr.has(*d.variables) or d.expr.is_number]
    return value.xreplace({d: d.doit(deep=False) for d in derived}) if derived else value


def same(left: Any, right: Any) -> bool:
    """Whether two sympy objects are the same mathematics."""
    if left == right:
        return True
    if isinstance(left, sympy.MatrixExpr | sympy.MatrixBase):
        return _same_matrices(left, right)
    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        if left.is_infinite or right.is_infinite:
            return False
        return _same_values(left, right)
    if type(left) is not type(right) or len(left.args) != len(right.args) or not left.args:
        return False
    ordered = not isinstance(left, sympy.FiniteSet | sympy.Union | sympy.Intersection)
    if ordered or len(right.args) > _MAX_MEMBERS:
        return all(same(a, b) for a, b in zip(left.args, right.args, strict=True))
    return any(
        all(same(a, b) for a, b in zip(left.args, row, strict=True)) for row in permutations(right.args)
    )


def _same_matrices(left: Any, right: Any) -> bool:
    if not isinstance(right, sympy.MatrixExpr | sympy.MatrixBase):
        return False
    left, right = sympy.Matrix(left.doit()), sympy.Matrix(right.doit())
    return left.shape == right.shape and all(same(a, b) for a, b in zip(left, right, strict=True))


def _same_values(left: sympy.Expr, right: sympy.Expr) -> bool:
    symbols = left.free_symbols | right.free_symbols
    counts = counted(left) | counted(right)
    ours, theirs = _values(left, symbols, counts), _values(right, symbols, counts)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None or b is not None]
    if not (left.has(sympy.I) or right.has(sympy.I)):
        # The fifth root of x^3 is x^(3/5) where both are real.
        pairs = [pair for pair in pairs if not all(map(_is_complex, pair))] or pairs
    return bool(pairs) and all(a is not None and b is not None and _close(a, b) for a, b in pairs)


def _values(expression: sympy.Expr, symbols: set[sympy.Symbol], counts: set[sympy.Symbol]) -> list[Any]:
    """The expression at each point, exact or to 50 digits; None where it has no finite value.

    ``counts`` are symbols that sums go up to: they are numbers of terms.
    """
    if len(symbols) > len(_POINTS[0]):
        return []
    names = sorted(symbols, key=str)
    points = [dict(zip(names, point, strict=False)) for point in (_POINTS if names else _POINTS[:1])]
    for point, count in zip(points, _COUNTS, strict=False):
        point |= {name: sympy.Integer(count + 3 * at) for at, name in enumerate(sorted(counts, key=str))}
    return [_value(expression, point) for point in points]


def _value(expression: sympy.Expr, point: Mapping[sympy.Symbol, sympy.Rational]) -> Any:
    expression = written_out(expression, point)
    exact = exact_value(expression, point)
    if exact is not None:
        return exact
    try:
        value = expression.evalf(_DIGITS, subs=point)
    except ValueError:  # a series that goes to no value
        return None
    return value if value.is_number and value.is_finite and _is_numeric(value) else None


def _is_complex(value: sympy.Expr | None) -> bool:
    """Whether a value is known and is no real number."""
    return value is not None and not value.is_Rational and bool(value.as_real_imag()[1] != 0)


def _is_numeric(value: sympy.Expr) -> bool:
    return all(part.is_Float or part.is_Rational for part in value.as_real_imag())


def _close(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Whether two values are the same: exactly if both are exact, else to 30 significant digits."""
    if a.is_Rational and b.is_Rational:
        return bool(a == b)
    if _is_zero(a) or _is_zero(b):
        return _is_zero(a) and _is_zero(b)
    return bool(abs(a - b) <= _AGREE * max(abs(a), abs(b)))


def _is_zero(value: sympy.Expr) -> bool:
    """Zero, or what is left where a hundred digits cancel: sympy marks it by a precision of one bit."""
    return all(part == 0 or (part.is_Float and part._prec == 1) for part in value.as_real_imag())

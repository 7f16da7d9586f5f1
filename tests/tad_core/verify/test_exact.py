"""Exact values within bounds."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest
import sympy

from tad_core.verify.exact import exact_value

X = sympy.Symbol("x")


def unevaluated(base: object, exponent: object) -> sympy.Expr:
    return sympy.Pow(sympy.sympify(base), sympy.sympify(exponent), evaluate=False)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (sympy.Rational(2, 3), sympy.Rational(2, 3)),
        (unevaluated(10, -50), sympy.Rational(1, 10**50)),
        (sympy.Add(1, 2, evaluate=False) * X, 3 * sympy.Rational(1, 7)),
        (sympy.factorial(5, evaluate=False), sympy.Integer(120)),
        (sympy.Abs(-3, evaluate=False), sympy.Integer(3)),
        (X**2 - X**2, sympy.Integer(0)),
    ],
)
def test_rational_expressions_have_their_value(expression: sympy.Expr, value: sympy.Rational) -> None:
    assert exact_value(expression, {X: sympy.Rational(1, 7)}) == value


@pytest.mark.parametrize(
    "expression",
    [
        sympy.sqrt(2), sympy.pi, X, sympy.I, unevaluated(0, -1), unevaluated(0, 0), unevaluated(2, sympy.Rational(1, 2)), sympy.factorial(-1, evaluate=False),
        sympy.zoo,
    ],
)  # fmt: skip
def test_others_have_none(expression: sympy.Expr) -> None:
    assert exact_value(expression) is None


def test_a_tower_of_powers_is_left_alone() -> None:
    tower = unevaluated(9, unevaluated(9, unevaluated(9, 9)))
    assert exact_value(tower) is None
    assert exact_value(unevaluated(2, 10**9)) is None
    assert exact_value(sympy.factorial(10**6, evaluate=False)) is None
    many = sympy.Mul(*[unevaluated(3, 10_000 + n) for n in range(50)], evaluate=False)
    assert exact_value(many) is None

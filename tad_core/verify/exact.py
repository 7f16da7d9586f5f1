"""The exact value of an expression that has a rational one, within bounds on its size.

sympy's own evaluation has no bounds: a tower of powers would fill the memory. Imported in the worker only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy  # type: ignore[import-untyped]

#: No numerator or denominator gets longer than this, in bits.
_MAX_BITS = 20_000
_MAX_FACTORIAL = 1_000


class _NotExactError(Exception):
    """The expression has no rational value, or not one of a reasonable size."""


def exact_value(expression: Any, point: Mapping[Any, Any] | None = None) -> Any:
    """The ``sympy.Rational`` that ``expression`` is at ``point``; None if it is none or a very long one."""
    try:
        return _evaluate(expression, point or {})
    except _NotExactError:
        return None


def _evaluate(node: Any, point: Mapping[Any, Any]) -> Any:
    if node.is_Rational:
        return _bounded(node)
    if node.is_Symbol and node in point:
        return point[node]
    if isinstance(node, sympy.Add | sympy.Mul):
        total = node.identity
        for part in node.args:
            value = _evaluate(part, point)
            total = _bounded(total + value if isinstance(node, sympy.Add) else total * value)
        return total
    if isinstance(node, sympy.Pow):
        return _power(_evaluate(node.base, point), _evaluate(node.exp, point))
    if isinstance(node, sympy.factorial):
        n = _evaluate(node.args[0], point)
        if n.is_Integer and 0 <= n <= _MAX_FACTORIAL:
            return sympy.factorial(n)
    if isinstance(node, sympy.Abs):
        return abs(_evaluate(node.args[0], point))
    raise _NotExactError


def _power(base: Any, exponent: Any) -> Any:
    if not exponent.is_Integer or (base == 0 and exponent <= 0):
        raise _NotExactError
    if _bits(base) * abs(int(exponent)) > _MAX_BITS:
        raise _NotExactError
    return base**exponent


def _bounded(value: Any) -> Any:
    if _bits(value) > _MAX_BITS:
        raise _NotExactError
    return value


def _bits(value: Any) -> int:
    return max(int(value.p).bit_length(), int(value.q).bit_length())

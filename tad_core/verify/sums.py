"""Sums and products over an index, term by term: sympy's closed forms and series may take any time, or come to none.

Imported in the worker process only, as sympy is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sympy  # type: ignore[import-untyped]

from tad_core.verify.exact import exact_value

#: More terms than this are not written out.
_MAX_TERMS = 3_000
_SUMS = (sympy.Sum, sympy.Product)


def counted(expression: Any) -> set[Any]:
    """The symbols that sums and products go from or up to: whole numbers, if they stand for anything."""
    free: set[Any] = expression.free_symbols
    bounds = (bound for node in expression.atoms(*_SUMS) for _, *ends in node.limits for bound in ends)
    return free & {symbol for bound in bounds for symbol in bound.free_symbols}


def is_of_terms(expression: Any) -> bool:
    """Whether it adds up what only has a name (``a_k``, ``f(k)``), which is another value at each index."""
    return any(
        re.search(rf"[_({{,]{re.escape(str(index))}(?![A-Za-z\d])", symbol.name)
        for node in expression.atoms(*_SUMS)
        for index, *_ in node.limits
        for symbol in node.function.free_symbols
    )


def written_out(expression: Any, point: Mapping[Any, Any]) -> Any:
    """The expression with each sum and product that has whole bounds at ``point`` as its terms.

    One of too many terms is left to sympy, in closed form where that comes at once.
    """
    if isinstance(expression, _SUMS):
        *inner_limits, (index, low, high) = expression.limits
        first, last = exact_value(low, point), exact_value(high, point)
        if first is None or last is None or not (first.is_Integer and last.is_Integer):
            return expression
        if last - first >= _MAX_TERMS:
            simple = isinstance(expression, sympy.Sum) and expression.function.is_polynomial(index)
            return expression.doit() if simple else expression
        inner = expression.func(expression.function, *inner_limits) if inner_limits else expression.function
        terms = [
            written_out(inner.xreplace({index: sympy.Integer(at)}), point)
            for at in range(int(first), int(last) + 1)
        ]
        return sympy.Add(*terms) if isinstance(expression, sympy.Sum) else sympy.Mul(*terms)
    if not expression.has(*_SUMS):
        return expression
    return expression.func(*(written_out(part, point) for part in expression.args))

"""Sums and products as their terms."""

from __future__ import annotations

import sympy

from tad_core.verify.sums import counted, is_of_terms, written_out
from tad_core.verify.symbolic import read

J, K, M, N, X = sympy.symbols("j k m n x")


def test_whole_bounds_are_counted_through() -> None:
    powers = sympy.Sum(X**K, (K, 1, N))
    assert written_out(powers, {N: sympy.Integer(3)}) == X + X**2 + X**3
    assert written_out(sympy.Product(K, (K, 1, 4)) + powers, {N: sympy.Integer(1)}) == 24 + X
    nested = sympy.Sum(J, (J, 1, K), (K, 1, N))
    assert written_out(nested, {N: sympy.Integer(3)}) == 1 + (1 + 2) + (1 + 2 + 3)
    assert written_out(powers, {N: sympy.Integer(0)}) == 0


def test_what_has_no_whole_bounds_stays_and_a_long_polynomial_has_its_closed_form() -> None:
    powers = sympy.Sum(X**K, (K, 1, N))
    assert written_out(powers, {N: sympy.Rational(1, 2)}) == powers
    assert written_out(sympy.Sum(K, (K, 1, 10**6)), {}) == 500000500000
    roots = sympy.Sum(sympy.sqrt(K), (K, 1, 10**6))
    assert written_out(roots, {}) == roots


def test_what_sums_go_up_to_is_counted_and_their_index_is_not() -> None:
    assert counted(sympy.Sum(X * K, (K, 1, N)) + M) == {N}
    assert counted(X + 1) == set()


def test_terms_that_only_have_a_name_have_no_sum() -> None:
    named, plain = sympy.Symbol("a_k"), sympy.Symbol("a_n")
    assert is_of_terms(sympy.Sum(named, (K, 1, N))) and is_of_terms(
        sympy.Sum(sympy.Symbol("f(k)"), (K, 1, N))
    )
    other = sympy.Symbol("a_{k1}")  # a name of its own, which goes on behind the letter
    assert not is_of_terms(sympy.Sum(plain * K, (K, 1, N))) and not is_of_terms(
        sympy.Sum(other * K, (K, 1, N))
    )
    assert read(r"\sum_{k=1}^n a_k") is None

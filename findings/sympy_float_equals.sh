#!/usr/bin/env bash
# sympy 1.14.0: 2.0 is not equal to 2, and yet it is in the set that holds 2.
#
# Guess: as in Python and in mathematics, Float(2.0) == 2 and Float(0.5) == Rational(1, 2); a set of both has one element, and matrices,
# tuples and sets of equal numbers are equal, so that a judge of answers may compare with == before it tries anything dearer.
# Behaviour: since 1.13 == of a float with an exact number is False, whatever their values, and so is == of tuples, sets and matrices with
# them; FiniteSet(2.0, 2) has two elements. Eq() of the two is true, a float is "in" a set that holds the exact number, and their difference
# is 0. So two ways to ask whether an answer is the reference disagree, and a list of roots found by number has none of those found by
# algebra.
# Seen: Float(2.0) == 2 False, Float(0.5) == Rational(1, 2) False, Eq True, difference == 0 True, in FiniteSet True, FiniteSet(2.0, 2) of two,
# Matrix([2.0]) == Matrix([2]) False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check sympy==1.14.0 mpmath==1.3.0
cat > "$work/equals.py" <<'PY'
import sympy
from sympy import Eq, FiniteSet, Float, Matrix, Rational, Tuple

half, whole = Float(0.5), Float(2.0)
seen = {
    "2.0 == 2": whole == 2,
    "0.5 == 1/2": half == Rational(1, 2),
    "Eq": bool(Eq(half, Rational(1, 2))),
    "difference": half - Rational(1, 2) == 0,
    "in": half in FiniteSet(Rational(1, 2)),
    "elements": len(FiniteSet(whole, 2)),
    "tuples": Tuple(whole) == Tuple(2),
    "matrices": Matrix([whole]) == Matrix([2]),
}
print(f"sympy {sympy.__version__}: {seen}")
assert not any(seen[name] for name in ("2.0 == 2", "0.5 == 1/2", "tuples", "matrices")), "floats equal exact numbers now"
assert seen["Eq"] and seen["difference"] and seen["in"] and seen["elements"] == 2, "the other ways agree with == now"
PY
"$work/env/bin/python" "$work/equals.py"

#!/usr/bin/env bash
# math-verify 0.9.0: a letter at the end of a formula is dropped as a unit.
#
# Guess: "5 cm" is compared as 5; in a formula a letter is a variable, wherever it stands: n + 2m is not n + 2, and an area bh/2 with the
# h behind is not b/2.
# Behaviour: a letter (c, g, h, m, s) or a pair (ab) at the end is cut off before the text is read, also behind letters: the last factor
# of an answer counts for nothing, so one that forgot it is right, and one that has it in another place is wrong. In front it is kept.
# Seen: (n+2m, n+2) True, (2m, 2) True, (3m, 3s) True, (\frac{a}{b}c, \frac{a}{b}) True, (\frac{a}{b}c, \frac{ac}{b}) False, (2m+n, 2+n)
# False, (\frac{a}{b}x, \frac{a}{b}) False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 antlr4-python3-runtime==4.11.0
"$work/env/bin/python" - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify


def same(gold, answer):
    return verify(parse(f"${gold}$"), parse(f"${answer}$"))


dropped = [("n+2m", "n+2"), ("3x+2h", "3x+2"), ("2m", "2"), ("3m", "3s"), ("2ab", "2"), (r"\frac{a}{b}c", r"\frac{a}{b}"), (r"\frac{1}{2}h", r"\frac{1}{2}")]
kept = [("2m+n", "2+n"), (r"\frac{a}{b}x", r"\frac{a}{b}"), (r"\frac{1}{2}bh", r"\frac{1}{2}b")]
moved = (r"\frac{a}{b}c", r"\frac{ac}{b}")
seen = {pair: same(*pair) for pair in (*dropped, *kept, moved)}
print(f"math-verify {version('math-verify')}: {seen}")
assert all(seen[pair] for pair in dropped), "a letter at the end counts now"
assert not any(seen[pair] for pair in kept)
assert not seen[moved], "the same product in another order is equal now"
PY

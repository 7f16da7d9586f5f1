#!/usr/bin/env bash
# math-verify 0.9.0: i is a letter like any other.
#
# Guess: answers with complex numbers (MATH has hundreds) are compared as such: i squared is -1, 1/i is -i, (1 + i)^2 is 2i, and the root of -9
# is 3i, as e is Euler's number and pi is pi.
# Behaviour: i is an unknown. Sums and products that differ in their order are the same, but nothing that needs i^2 = -1 is: a right answer in
# another form is wrong, unless it is expanded by hand. \sqrt{-1} is the imaginary unit, so it is not i. Where both sides have i at the
# same places it does not show.
# Seen: (i^2, -1) False, (\frac{1}{i}, -i) False, ((1+i)^2, 2i) False, (\sqrt{-9}, 3i) False, (e^{i\pi}, -1) False, (|3+4i|, 5) False;
# (3+4i, 4i+3) True.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 antlr4-python3-runtime==4.11.0
"$work/env/bin/python" - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify

expected = {
    ("i^2", "-1"): False,
    (r"\frac{1}{i}", "-i"): False,
    ("(1+i)^2", "2i"): False,
    (r"\sqrt{-9}", "3i"): False,
    (r"e^{i\pi}", "-1"): False,
    ("|3+4i|", "5"): False,
    (r"\frac{2}{1+i}", "1-i"): False,
    ("3+4i", "4i+3"): True,
    ("(1+i)^2", "1+2i+i^2"): True,
    (r"\ln e", "1"): True,
}


def read(text):
    return parse(f"${text}$", parsing_timeout=60)


found = {pair: verify(read(pair[0]), read(pair[1]), timeout_seconds=60) for pair in expected}
print(f"math-verify {version('math-verify')}: {found}")
assert found == expected, f"expected {expected}"
PY

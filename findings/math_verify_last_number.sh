#!/usr/bin/env bash
# math-verify 0.9.0: of a formula that cannot be read the last number is the answer.
#
# Guess: what the parser does not know (a residue class, \bmod, \choose, minutes of an angle) is compared as text, or not at all.
# Behaviour: the number that stands last is taken for the whole, in the right answer as in the given one. So all residues by one modulus are
# equal, 4 \choose 2 is 2 and not 6, 7 \bmod 3 is 3, and a sign behind a number counts for nothing. Degrees and minutes are added. What
# parse gives does not tell: it looks like a number that was read.
# Seen: (x \equiv 1 \pmod 3, x \equiv 2 \pmod 3) True, (4 \choose 2, 2) True, (4 \choose 2, 6) False, (7 \bmod 3, 3) True, (7 \bmod 3, 1) False,
# (45^\circ 30', 75) True, (5-, 5) True; \binom{4}{2} is 6.
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
    (r"x \equiv 1 \pmod 3", r"x \equiv 2 \pmod 3"): True,
    (r"x \equiv 1 \pmod 3", r"x \equiv 1 \pmod 5"): False,
    (r"4 \choose 2", "2"): True,
    (r"4 \choose 2", "6"): False,
    (r"\binom{4}{2}", "6"): True,
    (r"7 \bmod 3", "3"): True,
    (r"7 \bmod 3", "1"): False,
    (r"45^\circ 30'", "75"): True,
    (r"45^\circ 30'", "45.5"): False,
    ("5-", "5"): True,
}


def read(text):
    return parse(f"${text}$", parsing_timeout=60)


found = {pair: verify(read(pair[0]), read(pair[1]), timeout_seconds=60) for pair in expected}
print(f"math-verify {version('math-verify')}: {found}")
assert found == expected, f"expected {expected}"
PY

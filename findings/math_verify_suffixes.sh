#!/usr/bin/env bash
# math-verify 0.9.0: the base of a numeral and the sign of percent count for nothing.
#
# Guess: answers in different bases are different, and a numeral with a base is the number that it is (MATH asks for such answers by the
# dozen); 50% is 0.5, or at least not 50.
# Behaviour: what is written below a numeral is dropped: 1010 in base 2 verifies against 1010 in base 3 and against a thousand and ten,
# and not against 10. A percent sign is dropped, too: 50% verifies against 50 and not against 0.5. A list that repeats one number
# is that number: "5, 5" verifies against 5.
# Seen: (1010_2, 1010_3) True, (1010_2, 1010) True, (1010_2, 10) False, (50%, 50) True, (50%, 0.5) False, (5, "5, 5") True.
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
    ("1010_2", "1010_3"): True,
    ("1010_2", "1010"): True,
    ("1010_2", "10"): False,
    ("1010_{2}", "1011_{2}"): False,
    (r"50\%", "50"): True,
    (r"50\%", "0.5"): False,
    ("5", "5, 5"): True,
    ("5", "5, 6"): False,
}
found = {pair: verify(parse(f"${pair[0]}$"), parse(f"${pair[1]}$")) for pair in expected}
print(f"math-verify {version('math-verify')}: {found}")
assert found == expected, f"expected {expected}"
PY

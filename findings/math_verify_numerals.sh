#!/usr/bin/env bash
# math-verify 0.9.0: numbers written with a bar or in groups of three are other numbers.
#
# Guess: 0.\overline{3} is 1/3 and 1\,000 a thousand (MATH writes both), or they cannot be read, and then only the same text is right.
# Behaviour: what stands below a bar is dropped, so every pure repeating decimal between 0 and 1 is 0, and equals every other one. Groups
# with space between them are a product: 1\,000 is 1 times 0, and so are 2\,000 and 5 000; 12\,345 is added to 357, as 12 + 345. Decimals
# are compared to six places: 0.0000001 verifies against 0.0000004, and 10^{-7} not against 4 \cdot 10^{-7}.
# Seen: parse(0.\overline{3}) == 0, parse(1\,000) == 1*0, parse(12\,345) == 357.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 antlr4-python3-runtime==4.11.0
"$work/env/bin/python" - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify


def read(text):
    return parse(f"${text}$")


alike = [
    (r"0.\overline{3}", r"0.\overline{4}"),
    (r"0.\overline{142857}", r"0.\overline{27}"),
    (r"1\,000", r"2\,000"),
    (r"1\,000", "5 000"),
    ("0.0000001", "0.0000004"),
]
apart = [(r"0.\overline{3}", r"\frac{1}{3}"), (r"1\,000", "1000"), (r"12\,345", "12345"), ("10^{-7}", r"4\cdot 10^{-7}")]
values = {text: str(read(text)[0]) for text in (r"0.\overline{3}", r"1\,000", r"12\,345")}
seen = {pair: verify(*map(read, pair)) for pair in (*alike, *apart)}
print(f"math-verify {version('math-verify')}: {values}")
print(seen)
assert all(seen[pair] for pair in alike), "numbers that are apart are told apart now"
assert not any(seen[pair] for pair in apart), "the same number in two spellings is the same now"
assert values[r"12\,345"] == "357"
PY

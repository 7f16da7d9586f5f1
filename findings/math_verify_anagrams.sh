#!/usr/bin/env bash
# math-verify 0.9.0: a plain word that is an answer equals its anagrams.
#
# Guess: where an answer is a word (MATH has some: directions, names, "no"), words are compared as words.
# Behaviour: outside of \text a word is read as the product of its letters, and products commute: "east" verifies against "seat"
# and "no" against "on". In \text{} they are words. "north" stays a word, while its anagram "thorn" becomes a product.
# Seen: parse("$east$") == [E*a*s*t, 'east'], verify(east, seat) True, verify(\text{east}, \text{seat}) False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 antlr4-python3-runtime==4.11.0
"$work/env/bin/python" - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify


def same(one, other):
    return verify(parse(f"${one}$"), parse(f"${other}$"))


seen = {
    "east, seat": same("east", "seat"),
    "no, on": same("no", "on"),
    "in text": same(r"\text{east}", r"\text{seat}"),
    "north": [str(part) for part in parse("$north$")],
}
print(f"math-verify {version('math-verify')}: {seen}, east is {parse('$east$')}")
assert seen["east, seat"] and seen["no, on"], "anagrams differ now"
assert not seen["in text"], "words in text are products now"
assert seen["north"] == ["north"], "north is no word now"
PY

#!/usr/bin/env bash
# evalplus 0.3.1: right programs come back from sanitize without parts that they need, the decorated function that was asked for among them.
#
# Guess: sanitize(text, entrypoint) takes chatter away and keeps what the function asked for needs; a text that is nothing but a right
# program comes back as one that does the same.
# Behaviour: of the top level it keeps imports, classes, functions that have a return in them, and assignments to a single name; of what has a
# name twice, the first. So it drops what has a decorator (@cache, also of the function asked for, after which nothing is left but imports), helpers
# that fill a list or yield, "LOW, HIGH = 1, 2", "TOTAL += 2", "TABLE['a'] = 1", a loop that fills a table and imports within try. The
# program then fails its tests. evalplus.evaluate sanitizes nothing by itself; evalplus.codegen does.
# Seen, of 12 right programs: 9 are wrong afterwards.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  appdirs==1.4.4 datasets==5.2.0 pyarrow==26.0.1 tempdir==0.7.1 termcolor==3.3.0 tree-sitter==0.26.1 tree-sitter-python==0.25.0 wget==3.2
"$work/env/bin/pip" install --quiet --disable-pip-version-check --no-deps evalplus==0.3.1  # its other needs are engines that serve models
cat > "$work/programs.py" <<'PY'
from importlib.metadata import version

from evalplus.sanitize import sanitize

broken = {
    "asked for, decorated": "from functools import cache\n\n@cache\ndef f(n):\n    return n + 1\n",
    "helper, decorated": "from functools import cache\n\n@cache\ndef g(n):\n    return n + 1\n\ndef f(n):\n    return g(n)\n",
    "helper without return": "def fill(rows):\n    rows.append(5)\n\ndef f(n):\n    rows = []\n    fill(rows)\n    return rows[0]\n",
    "generator": "def count(n):\n    yield from range(n + 2)\n\ndef f(n):\n    return list(count(n))[-1]\n",
    "pair": "LOW, HIGH = 1, 2\n\ndef f(n):\n    return n + HIGH - LOW\n",
    "augmented": "TOTAL = 0\nTOTAL += 1\n\ndef f(n):\n    return n + TOTAL\n",
    "item": "TABLE = {}\nTABLE['a'] = 1\n\ndef f(n):\n    return n + TABLE['a']\n",
    "loop": "after = []\nfor i in range(10):\n    after.append(i + 1)\n\ndef f(n):\n    return after[n]\n",
    "import in try": "try:\n    import math\nexcept ImportError:\n    math = None\n\ndef f(n):\n    return math.floor(n + 1.5)\n",
}
kept = {
    "plain": "import math\n\nONE: int = 1\n\ndef g(n):\n    return n + ONE\n\ndef f(n):\n    return math.floor(g(n))\n",
    "lambda": "f = lambda n: n + 1\n",
    "class": "class One:\n    value = 1\n\ndef f(n):\n    return n + One.value\n",
}


def is_right(program):
    names = {}
    try:
        exec(program, names)
        return names["f"](4) == 5
    except (NameError, KeyError, IndexError):
        return False


programs = broken | kept
assert all(map(is_right, programs.values()))
right = {name: is_right(sanitize(program, "f")) for name, program in programs.items()}
print(f"evalplus {version('evalplus')}, right after sanitize: {right}")
assert all(right[name] for name in kept)
assert not any(right[name] for name in broken), "sanitize keeps more now"
PY
cd "$work" && HF_HOME="$work/hf" "$work/env/bin/python" "$work/programs.py"

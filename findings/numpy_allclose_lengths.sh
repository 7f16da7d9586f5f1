#!/usr/bin/env bash
# numpy 2.4.6: allclose of lists of different lengths can be true, and is an error for others.
#
# Guess: numpy.allclose and numpy.testing.assert_allclose say no to a list that is shorter than the other, as == of lists
# does: an answer with numbers missing is not close to the whole one.
# Behaviour: both compare after broadcasting. An empty list is close to any list of one number, and a list of one number
# to a longer one whose numbers are all like it; for assert_allclose too, where one side is a single number without a
# list. Other lengths raise ValueError from allclose, not False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
cat > "$work/lengths.py" <<'PY'
import numpy as np


def close(a, b):
    try:
        return bool(np.allclose(a, b))
    except ValueError:
        return "ValueError"


def asserted(a, b):
    try:
        np.testing.assert_allclose(a, b)
    except AssertionError:
        return False
    return True


pairs = [([], [1.0]), ([1.0], [1.0, 1.0]), (1.0, [1.0, 1.0]), ([], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])]
found = [(close(a, b), asserted(a, b)) for a, b in pairs]
print(f"numpy {np.__version__}: allclose, assert_allclose")
for (a, b), verdict in zip(pairs, found, strict=True):
    print(f"  {a} and {b}: {verdict[0]}, {verdict[1]}")
assert [one for one, _ in found] == [True, True, True, "ValueError", "ValueError"], found
assert [other for _, other in found] == [False, False, True, False, False], found
PY
"$work/env/bin/python" "$work/lengths.py"

#!/usr/bin/env bash
# torch 2.13.0, CPU: a number that does not fit into a tensor's whole numbers is wrapped before it is compared with them.
#
# Guess: tensor == 300 is False wherever the tensor is uint8, and tensor > -1 is True, as in numpy: comparing changes nothing and raises
# nothing.
# Behaviour: the number is first made one of the tensor's dtype, modulo its size: 44 == 300 and 255 == -1 are True in uint8, 200 > -1 is
# False, and in int16 the id 126336 of a mask token is -4736, as it is where that id itself was stored in int16. So ids, steps and positions
# that were packed into small integers seem to compare right until a number is on the other side of their range: steps in int16 are all "less"
# than 70,000 or none is, by what it wraps to. torch.where with such a number raises.
# Seen: uint8 44 == 300 True, 255 == -1 True, 200 > -1 False; int16 -4736 == 126336 True; numpy False, False, True and False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/wraps.py" <<'PY'
import numpy
import torch

cases = {
    "uint8 44 == 300": (44, "uint8", lambda x: x == 300),
    "uint8 255 == -1": (255, "uint8", lambda x: x == -1),
    "uint8 200 > -1": (200, "uint8", lambda x: x > -1),
    "int16 -4736 == 126336": (-4736, "int16", lambda x: x == 126336),
}
seen = {
    name: (
        bool(compare(torch.tensor([value], dtype=getattr(torch, dtype)))),
        bool(compare(numpy.array([value], dtype))),
    )
    for name, (value, dtype, compare) in cases.items()
}
print(f"torch {torch.__version__}, numpy {numpy.__version__}: (torch, numpy) {seen}")
assert list(seen.values()) == [(True, False), (True, False), (False, True), (True, False)], "numbers are compared by value now"
PY
"$work/env/bin/python" "$work/wraps.py"

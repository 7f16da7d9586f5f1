#!/usr/bin/env bash
# torch 2.13.0: wrappers that torch.compile makes of one function share one count of variants.
#
# Guess: each call of torch.compile gives a wrapper with variants of its own, so that twelve wrappers of one function, each
# called with tensors of one shape, are compiled twelve times.
# Behaviour: variants are counted for the function's code: the first eight wrappers are compiled, the others run the function as
# it is, with a warning in the log and no error. What comes out is then rounded otherwise, and slower. A copy of the function
# with a code object of its own is compiled again.
# Seen on a CPU: wrappers 1 to 8 compiled, 9 to 12 not; a copy compiled.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/wrappers.py" <<'PY'
from types import FunctionType

import torch

built = 0


def backend(graph, inputs):
    global built
    built += 1
    return graph.forward


def total(x):
    return x.sin().sum(1)


def compiles(function, width):
    before = built
    torch.compile(function, backend=backend, dynamic=False)(torch.ones(4, width))
    return built > before


found = [compiles(total, width) for width in range(1, 13)]
copy = FunctionType(total.__code__.replace(), total.__globals__)
print(f"torch {torch.__version__}: compiled {found}, a copy {compiles(copy, 12)}")
assert found == [True] * 8 + [False] * 4, "wrappers are counted otherwise now"
assert compiles(FunctionType(total.__code__.replace(), total.__globals__), 13), "a copy is not compiled now"
PY
"$work/env/bin/python" "$work/wrappers.py" 2> "$work/log" || { tail -n 5 "$work/log"; exit 1; }

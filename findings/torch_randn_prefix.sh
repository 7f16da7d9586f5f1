#!/usr/bin/env bash
# torch 2.13.0, CPU: how many normal numbers are asked for changes the first of them.
#
# Guess: from one seed, torch.randn(n) begins with the numbers of torch.randn(m) for m < n, as torch.rand does and as
# numpy's generators do: noise for a longer response, or for one more row, only adds to what there was.
# Behaviour: below 16 numbers come from another algorithm than from 16 on, and where n is no multiple of 16 the last 16
# are drawn once more from later in the stream. So randn(8) and randn(16) share nothing, of randn(17) no more than the
# first number is randn(16)'s, and randn(24) and randn(32) share their first eight. torch.rand is a prefix throughout.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/prefix.py" <<'PY'
import numpy as np
import torch


def of(function, count):
    return function(count, generator=torch.Generator().manual_seed(0))


def shared(function, few, many):
    """How many leading numbers are the same."""
    equal = of(function, few) == of(function, many)[:few]
    return int(equal.int().cumprod(0).sum())


pairs = [(8, 15), (8, 16), (15, 16), (16, 17), (16, 32), (24, 32), (24, 25), (100, 1000)]
normal = {pair: shared(torch.randn, *pair) for pair in pairs}
uniform = {pair: shared(torch.rand, *pair) for pair in pairs}
print(f"torch {torch.__version__}: leading numbers shared by (few, many)")
print("randn:", normal)
print("rand: ", uniform)
drawn = [np.random.default_rng(0).standard_normal(n) for n in (8, 16)]
print("numpy, (8, 16):", int((drawn[0] == drawn[1][:8]).sum()))
assert all(uniform[few, many] == few for few, many in pairs), "rand is no prefix any more"
assert normal[8, 15] == 8 and normal[16, 32] == 16, normal
assert normal[8, 16] == normal[15, 16] == 0, "randn of 8 and of 16 share numbers now"
assert normal[16, 17] <= 1 and normal[24, 32] == 8, "the last 16 are not drawn once more now"
PY
"$work/env/bin/python" "$work/prefix.py"

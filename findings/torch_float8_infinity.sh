#!/usr/bin/env bash
# torch 2.13.0, CPU: infinity becomes 448 in float8_e4m3fn, the largest number there is.
#
# Guess: what is too large for float8_e4m3fn becomes NaN, as in ml_dtypes (and so in JAX): the format has no infinity, and "fn" says
# that only finite numbers and NaN are in it. Infinity at the least, since it is not a large number but a sign that something went wrong.
# Behaviour: all that is too large, infinity included, becomes 448 of its sign, with float32, bfloat16 and float16 alike, whether by
# to(), copy_(), tensor(dtype=) or compiled. The other formats of the same library do otherwise: float8_e5m2 gives infinity, and
# float8_e4m3fnuz NaN. A model whose activations overflow, rounded to 8 bits with a scale that was fixed before, goes on with finite
# numbers, and no look for NaN or infinity behind it finds anything.
# Seen: 500 and infinity are 448 in torch and nan in ml_dtypes; NaN stays NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 ml_dtypes==0.6.0
cat > "$work/float8.py" <<'PY'
import math

import ml_dtypes
import numpy as np
import torch

LARGE = [500.0, math.inf, -math.inf, math.nan]


def told(values):
    return [str(float(v)) for v in values]


def in_torch(kind, dtype=torch.float32):
    return told(torch.tensor(LARGE, dtype=dtype).to(kind).float())


found = {str(dtype): in_torch(torch.float8_e4m3fn, dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)}
found["copy_"] = told(torch.empty(4, dtype=torch.float8_e4m3fn).copy_(torch.tensor(LARGE)).float())
found["tensor"] = told(torch.tensor(LARGE, dtype=torch.float8_e4m3fn).float())
other = told(np.array(LARGE, np.float32).astype(ml_dtypes.float8_e4m3fn).astype(np.float32))
print(f"torch {torch.__version__}, float8_e4m3fn of {LARGE}: {found}")
print(f"ml_dtypes {ml_dtypes.__version__}: {other}")
assert all(v == ["448.0", "448.0", "-448.0", "nan"] for v in found.values()), "it is rounded otherwise now"
assert other == ["nan"] * 4, "ml_dtypes agrees now"

e5m2 = told(torch.tensor([1e9, math.inf, -math.inf, math.nan]).to(torch.float8_e5m2).float())
fnuz = in_torch(torch.float8_e4m3fnuz)
print(f"float8_e5m2: {e5m2}; float8_e4m3fnuz: {fnuz}")
assert e5m2 == ["inf", "inf", "-inf", "nan"] and fnuz == ["nan"] * 4, "the other formats do otherwise now"
assert torch.finfo(torch.float8_e4m3fn).max == 448
PY
"$work/env/bin/python" "$work/float8.py"

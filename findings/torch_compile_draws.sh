#!/usr/bin/env bash
# torch 2.13.0, CPU: a compiled function draws other random numbers than the same function as it is, and takes another number of them.
#
# Guess: torch.compile changes speed and the last bits. From one seed, compiled dropout drops what dropout drops, and what is drawn after it
# is what would be drawn after it.
# Behaviour: compiled kernels have a generator of their own, seeded by one number of the global stream. So the mask is another one, and the
# stream is elsewhere behind it: masks, noise or an order drawn later differ as well, though nothing of them is compiled. With the first run
# of a resumed or compared training compiled and the other not, both are right and none is the other. torch._inductor.config.fallback_random =
# True gives the numbers of the function as it is.
# Seen: masks equal: no; next number of the stream equal: no; with fallback_random both equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/draws.py" <<'PY'
import torch
import torch._inductor.config
import torch.nn.functional as F


def dropped(function):
    torch.manual_seed(0)
    return function(torch.ones(1000)), torch.rand(1)


def drop(x):
    return F.dropout(x, 0.5)


plain, compiled = dropped(drop), dropped(torch.compile(drop))
torch._dynamo.reset()
torch._inductor.config.fallback_random = True
fallback = dropped(torch.compile(drop))
equal = [[torch.equal(a, b) for a, b in zip(plain, other)] for other in (compiled, fallback)]
print(f"torch {torch.__version__}: mask and next number equal: compiled {equal[0]}, with fallback_random {equal[1]}")
assert equal[0] == [False, False], "compiled functions draw the same numbers now"
assert equal[1] == [True, True], "fallback_random gives other numbers now"
PY
"$work/env/bin/python" "$work/draws.py"

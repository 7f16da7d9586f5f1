#!/usr/bin/env bash
# torch 2.13.0, CPU: the value of an elementwise function at one number depends on the numbers beside it.
#
# Guess: sigmoid or pow of a number is the same bits alone and inside a tensor of a thousand.
# Behaviour: sigmoid differs in some places under AVX2 (in none under ATEN_CPU_CAPABILITY=default), float32 pow with a
# fractional exponent in about half of them under both; exp, tanh, log, expm1 and erf differ nowhere. So a probability that is
# stored or compared may depend on the batch it was computed in, on one machine and not on the next.
# Seen on an AMD CPU with AVX2 (of 1,000 numbers): sigmoid 30 float32, 25 float64; pow 518 float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/company.py" <<'PY'
import sys

import torch

x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3


def differing(function):
    together = function(x)
    alone = torch.cat([function(one.reshape(1)) for one in x])
    return int((together != alone).sum())


found = {
    "sigmoid": differing(torch.sigmoid),
    "pow": differing(lambda t: t.abs() ** 1.7),
    "exp": differing(torch.exp),
    "tanh": differing(torch.tanh),
    "log": differing(lambda t: (t.abs() + 0.1).log()),
    "expm1": differing(torch.expm1),
    "erf": differing(torch.erf),
}
level = torch.backends.cpu.get_cpu_capability()
print(f"torch {torch.__version__}, {level}: differing of 1000: {found}")
assert found["pow"] > 100, "pow is the same alone and in company now"
assert all(found[name] == 0 for name in ("exp", "tanh", "log", "expm1", "erf")), "another function differs now"
assert (found["sigmoid"] > 0) == (sys.argv[1] == "avx2"), "sigmoid behaves otherwise now"
PY
for level in default avx2; do
  if [ "$level" = avx2 ] && ! grep -qw avx2 /proc/cpuinfo; then
    echo "this machine has no AVX2: the half about sigmoid was not run"
    continue
  fi
  ATEN_CPU_CAPABILITY=$level "$work/env/bin/python" "$work/company.py" "$level"
done

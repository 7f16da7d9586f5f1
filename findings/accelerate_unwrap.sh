#!/usr/bin/env bash
# accelerate 1.15.0, torch 2.13.0, CPU: a model that was prepared once computes in bfloat16 for ever, unwrapped or not.
#
# Guess: accelerator.unwrap_model(prepared) is the model as it was; and the model that was handed to prepare is still the one that was made: with
# mixed_precision="bf16" only the prepared one rounds, so an evaluation, a teacher or a reference can be computed in float32 by either.
# Behaviour: prepare puts autocast into the forward of the very model that it is given. The model in one's hand, what unwrap_model gives and what is
# copied from it (deepcopy) all round to bfloat16, outside of any autocast region, and hand out float32, so the types tell nothing.
# unwrap_model(prepared, keep_fp32_wrapper=False) takes it out, and out of the prepared one with it: training goes on in float32.
# Seen, largest difference from the float32 outputs: in hand 0.004, unwrapped 0.004, copied 0.004, keep_fp32_wrapper=False 0, and 0 for the
# prepared one from then on.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/unwrap.py" <<'PY'
import copy

import accelerate
import torch
from torch import nn

torch.manual_seed(0)
model, x = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)), torch.randn(2, 64)
with torch.no_grad():
    exact = model(x)


def error(of):
    with torch.no_grad():
        found = of(x)
    assert found.dtype == torch.float32
    return round((found - exact).abs().max().item(), 4)


accelerator = accelerate.Accelerator(cpu=True, mixed_precision="bf16")
prepared = accelerator.prepare(model)
seen = {
    "prepared": error(prepared),
    "in hand": error(model),
    "unwrapped": error(accelerator.unwrap_model(prepared)),
    "copied": error(copy.deepcopy(accelerator.unwrap_model(prepared))),
    "keep_fp32_wrapper=False": error(accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)),
    "prepared, afterwards": error(prepared),
}
print(f"accelerate {accelerate.__version__}, largest difference from float32: {seen}")
rounded = {name for name, wrong in seen.items() if wrong > 1e-3}
assert rounded == {"prepared", "in hand", "unwrapped", "copied"}, "unwrapped is as it was made now"
assert seen["keep_fp32_wrapper=False"] == seen["prepared, afterwards"] == 0
PY
"$work/env/bin/python" -W ignore "$work/unwrap.py"

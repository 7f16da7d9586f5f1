#!/usr/bin/env bash
# torch 2.13.0, CPU: a threshold is rounded to the dtype of what is compared with it, a factor is not.
#
# Guess: confidence >= 0.9 asks whether a number of bfloat16 is at least 0.9. The largest one below, 0.8984375, is not.
# Behaviour: the number is rounded to the tensor's dtype first, where 0.9 is 0.8984375 itself: the answer is yes, also against a tensor of no
# dimensions in float32 or float64. The same row cast to float32, or against a tensor of one dimension, says no. clamp(max=0.9) gives
# 0.8984375. In arithmetic a number keeps its digits: x * 0.9 is not x times 0.9 rounded, in a third of the numbers from 1 to 399. So the
# threshold at which a token is revealed moves by up to 0.2 % with the dtype of the confidences, and with how it is handed over.
# Seen: 0.8984375 >= 0.9: bfloat16 True, against a tensor of no dimensions True, of one dimension False, in float32 False; products that
# differ 131 of 399.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/threshold.py" <<'PY'
import torch

row = torch.tensor([0.8984375], dtype=torch.bfloat16)
seen = {
    "number": bool(row >= 0.9),
    "no dimensions": bool(row >= torch.tensor(0.9, dtype=torch.float64)),
    "one dimension": bool(row >= torch.tensor([0.9])),
    "in float32": bool(row.float() >= 0.9),
    "clamped": torch.ones(1, dtype=torch.bfloat16).clamp(max=0.9).item(),
}
x = torch.arange(1, 400).bfloat16()
products = int((x * 0.9 != x * torch.tensor([0.9]).bfloat16()).sum())
print(f"torch {torch.__version__}: 0.8984375 >= 0.9: {seen}; products that differ {products} of {len(x)}")
assert list(seen.values()) == [True, True, False, False, 0.8984375], "thresholds keep their digits now"
assert 50 < products < 250, "factors are rounded now"
PY
"$work/env/bin/python" "$work/threshold.py"

#!/usr/bin/env bash
# peft 0.21.2, torch 2.13.0, CPU: the "linear" sum of two adapters is not the sum of what they do.
#
# Guess: add_weighted_adapter(["one", "other"], [1, 1], "both", combination_type="linear") makes an adapter whose change of a weight is
# that of the one plus that of the other, as the names say and as combination_type="cat" does with twice the rank.
# Behaviour: the factors are added, not the products: A_one + A_other and B_one + B_other, each scaled by a root of its weight. Their
# product has the two cross terms of one adapter's A with the other's B as well, which for adapters that were trained apart are as large
# as the sum itself. A difference is none, either. Of one adapter it is right; "cat" is exact.
# Seen: error relative to the sum of the changes: linear 1.0 (difference 1.0, one adapter halved 0.0), cat 0.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/sums.py" <<'PY'
import peft
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 64, bias=False)

    def forward(self, x):
        return self.head(x)


torch.manual_seed(0)
config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["head"], init_lora_weights=False)
model = peft.get_peft_model(Net(), config, adapter_name="one")
model.add_adapter("other", config)


def change(name):
    return model.base_model.model.head.get_delta_weight(name)


def error(kind, adapters, weights):
    """How far the combination is from the weighted sum of the changes, relative to that sum."""
    name = f"{kind}{len(model.peft_config)}"
    model.add_weighted_adapter(adapters, weights, name, combination_type=kind)
    wanted = sum(weight * change(adapter) for weight, adapter in zip(weights, adapters, strict=True))
    return round(((change(name) - wanted).norm() / wanted.norm()).item(), 2)


seen = {
    "linear": error("linear", ["one", "other"], [1.0, 1.0]),
    "linear, difference": error("linear", ["one", "other"], [1.0, -1.0]),
    "linear, one": error("linear", ["one"], [0.5]),
    "cat": error("cat", ["one", "other"], [1.0, 1.0]),
}
print(f"peft {peft.__version__}, torch {torch.__version__}, error relative to the sum of the changes: {seen}")
assert seen["cat"] == seen["linear, one"] == 0.0
assert min(seen["linear"], seen["linear, difference"]) > 0.7, "the changes are added now"
PY
"$work/env/bin/python" "$work/sums.py"

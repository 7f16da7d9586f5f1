#!/usr/bin/env bash
# peft 0.21.2, torch 2.13.0: a model wrapped in eval mode says that it trains, and what it wraps does not.
#
# Guess: get_peft_model keeps the mode of the model that it is given, or else puts all of it into training mode.
# Behaviour: the wrapper is in training mode and so are the new adapters, every module of the base stays in eval mode. Whoever reads
# model.training is told that dropout and gradient checkpointing of the base are on, and they are off until train() is called.
# Seen: wrapper True, adapters True, modules of the base False; after train() all True.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 peft==0.21.2 transformers==5.23.0
cat > "$work/modes.py" <<'PY'
import peft
import torch
from peft import LoraConfig, get_peft_model


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.between, self.last = torch.nn.Linear(8, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 8)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


model = get_peft_model(Base().eval(), LoraConfig(target_modules=["first"], r=2, lora_dropout=0.1))


def modes():
    base = model.base_model.model
    return {
        "wrapper": model.training,
        "base": base.training,
        "dropout of the base": base.between.training,
        "dropout of the adapter": base.first.lora_dropout["default"].training,
    }


as_made = modes()
model.train()
print(f"peft {peft.__version__}: as made {as_made}, after train() {modes()}")
assert as_made == {"wrapper": True, "base": False, "dropout of the base": False, "dropout of the adapter": True}
assert all(modes().values())
PY
"$work/env/bin/python" "$work/modes.py"

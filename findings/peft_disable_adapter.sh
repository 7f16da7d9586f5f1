#!/usr/bin/env bash
# peft 0.21.2, torch 2.13.0: a look at the base model makes frozen weights of the adapter trainable.
#
# Guess: "with model.disable_adapter()" switches the adapter off and, at its end, on again; which weights are trained is as before.
# Behaviour: inside, every weight of the adapter is frozen, and at the end every weight of the active one is trainable, also one
# that was frozen: a fixed lora_A (half of the adapter trained), an adapter loaded for inference, or a teacher that is only compared
# with. An optimizer that was made before never moves them, one that is made after does.
# Seen: lora_A frozen, lora_B not, before; both frozen inside; both trainable after. All of a loaded adapter frozen before, trainable after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 peft==0.21.2 transformers==5.23.0
cat > "$work/look.py" <<'PY'
import tempfile

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.proj(x)


def trained(model):
    return {name[-22:-15]: p.requires_grad for name, p in model.named_parameters() if "lora_" in name}


def around_a_look(model):
    before = trained(model)
    with model.disable_adapter():
        inside = trained(model)
        model(torch.ones(1, 4))
    return before, inside, trained(model)


half = get_peft_model(Base(), LoraConfig(target_modules=["proj"], r=2))
half.base_model.model.proj.lora_A["default"].weight.requires_grad_(False)
with tempfile.TemporaryDirectory() as folder:
    half.save_pretrained(folder)
    loaded = PeftModel.from_pretrained(Base(), folder)  # frozen: is_trainable is False by default
found, of_loaded = around_a_look(half), around_a_look(loaded)
print(f"peft {peft.__version__}: before, inside, after: {found}; an adapter loaded for inference: {of_loaded}")
assert [list(state.values()) for state in found] == [[False, True], [False, False], [True, True]], "it is left as it was now"
assert [any(state.values()) for state in of_loaded] == [False, False, True], "a frozen adapter stays frozen now"
PY
"$work/env/bin/python" "$work/look.py" 2>&1 | grep -v Warning

#!/usr/bin/env bash
# peft 0.21.2, torch 2.13.0, CPU: what an adapter is called decides what is saved of the adapter beside it.
#
# Guess: the name of an adapter is a label. A model with the adapters "weight" (or "blocks", or "q_proj") and "other" saves
# for "other" its own eight tensors, whatever the first one is called.
# Behaviour: names are looked for in the dotted names of the model's weights, in which "weight", "q_proj", "lora_A" and the
# model's own attributes stand as well. Beside "weight" nothing of "other" is saved, beside "q_proj" half of it, and
# beside "blocks" the tensors of both, without an error or a warning; loading what was saved then is a model with another
# adapter. The one with that name is saved right. Alone, any name does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/names.py" <<'PY'
import tempfile
from pathlib import Path

import peft
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.v_proj = nn.Linear(4, 4), nn.Linear(4, 4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])


def settings():
    return LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)


def saved_of_other(first):
    """Tensors in the file of the adapter "other" beside one that is called ``first``."""
    model = get_peft_model(Net(), settings(), adapter_name=first)
    model.add_adapter("other", settings())
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, selected_adapters=["other"])
        return len(load_file(Path(folder) / "other" / "adapter_model.safetensors"))


torch.manual_seed(0)
expected = {"quality": 8, "default": 8, "weight": 0, "q_proj": 4, "lora_A": 4, "blocks": 16}
found = {name: saved_of_other(name) for name in expected}
print(f"peft {peft.__version__}: tensors saved of 'other' (it has 8) beside an adapter of this name: {found}")
assert found == expected, f"expected {expected}"
PY
"$work/env/bin/python" "$work/names.py" 2>&1 | grep -v Warning

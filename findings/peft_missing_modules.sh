#!/usr/bin/env bash
# peft 0.21.2, torch 2.13.0, CPU: an adapter loads on a base that lacks half of what it adapts.
#
# Guess: PeftModel.from_pretrained refuses an adapter whose tensors the base has no place for, or warns, as it does for tensors that
# the file lacks.
# Behaviour: tensors of modules that are not there are left out without a word, as long as one name in target_modules is found: an
# adapter of a deeper model, one for q and v on a base whose q is called otherwise (the families of diffusion models differ in
# just that), and a trained head that is saved under another name. What runs then is half an adapter. Tensors that are missing from
# the file give a warning. set_peft_model_state_dict returns the names in unexpected_keys, which nobody reads.
# Seen: q renamed: 0 warnings, 4 of 8 tensors in place; 4 layers on 2: 0 warnings, 8 of 16; 4 layers on 6: 1 warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 peft==0.21.2 transformers==5.23.0
cat > "$work/missing.py" <<'PY'
import tempfile
import warnings
from pathlib import Path

import peft
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn


class Net(nn.Module):
    def __init__(self, layers=2, query="q", head="head"):
        super().__init__()
        names = (query, "v")
        self.layers = nn.ModuleList(nn.ModuleDict({name: nn.Linear(4, 4) for name in names}) for _ in range(layers))
        self.add_module(head, nn.Linear(4, 4))


def on(base, layers=2, **options):
    """Warnings, tensors of the adapter that are in place on ``base``, and tensors of the adapter."""
    adapted = get_peft_model(Net(layers), LoraConfig(target_modules=["q", "v"], init_lora_weights=False, r=2, **options))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        adapted.save_pretrained(folder)
        saved = load_file(Path(folder, "adapter_model.safetensors"))
        said.clear()
        loaded = dict(PeftModel.from_pretrained(base, folder).named_parameters())
    inside = {name.replace(".default", "").replace("modules_to_save.", ""): value for name, value in loaded.items()}
    placed = [name for name, value in saved.items() if name in inside and bool((inside[name] == value).all())]
    return len(said), len(placed), len(saved)


found = {
    "the same": on(Net()),
    "q renamed": on(Net(query="q_proj")),
    "4 layers on 2": on(Net(2), layers=4),
    "head renamed": on(Net(head="output"), modules_to_save=["head"]),
    "4 layers on 6": on(Net(6), layers=4),
}
print(f"peft {peft.__version__}: warnings, tensors in place, tensors of the adapter: {found}")
assert found["the same"] == (0, 8, 8)
assert found["q renamed"] == (0, 4, 8) and found["4 layers on 2"] == (0, 8, 16), "it is refused or said now"
assert found["head renamed"] == (0, 8, 10), "a head without a place is refused or said now"
assert found["4 layers on 6"] == (1, 16, 16)
PY
"$work/env/bin/python" "$work/missing.py"

#!/usr/bin/env bash
# peft 0.21.2, torch 2.13.0: modules_to_save takes modules whose names only end alike.
#
# Guess: modules_to_save=["head", "norm"] copies and trains the modules with these names, as target_modules=["head"] takes "head" and
# "x.head" and not "lm_head".
# Behaviour: target_modules compares whole parts of a dotted name, modules_to_save the end of the text: "head" takes lm_head, "norm"
# takes q_norm and final_norm as well. They are trained and saved whole, without a word; of a head over a vocabulary that is
# the larger part of what is trained.
# Seen: of q_norm, norm, head, lm_head all four for ["head", "norm"]; for target_modules=["head"] head alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 peft==0.21.2 transformers==5.23.0
cat > "$work/names.py" <<'PY'
import peft
from peft import LoraConfig, get_peft_model
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj, self.head, self.lm_head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 400)
        self.q_norm, self.norm = nn.LayerNorm(4), nn.LayerNorm(4)


def trained(**options):
    """Names of the modules that are trained, and how many numbers that is."""
    model = get_peft_model(Base(), LoraConfig(r=2, **options))
    found = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    return {name.removeprefix("base_model.model.").split(".")[0] for name in found}, sum(found.values())


saved, numbers = trained(target_modules=["proj"], modules_to_save=["head", "norm"])
plain, few = trained(target_modules=["proj"])
targets, _ = trained(target_modules=["head"])
print(f"peft {peft.__version__}: modules_to_save head, norm: {sorted(saved)}, {numbers} numbers (without: {few})")
print(f"target_modules head: {sorted(targets)}")
assert plain == {"proj"} and targets == {"head"}
assert saved == {"proj", "head", "lm_head", "norm", "q_norm"}, "whole names are compared now"
PY
"$work/env/bin/python" "$work/names.py" 2>&1 | grep -v Warning

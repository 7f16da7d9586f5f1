#!/usr/bin/env bash
# transformers 5.23.0, peft 0.21.2, torch 2.13.0, CPU: what a weight is called decides whether Trainer decays it.
#
# Guess: weight_decay is for matrices; biases and the scales of normalisations, by their kind or by having one dimension, are left out. What a
# module or an adapter is called does not matter.
# Behaviour: kinds count for torch's own LayerNorm and the like; all else goes by names. Whatever has "bias" anywhere in its name is not decayed:
# the matrix of debias, unbiased_head or bias_net. Nor is what stands under norm or ends in _norm. A RMSNorm of one's own is left out as
# attn_norm and decayed as ln_f, so that of LLaDA's model (attn_norm, ff_norm, ln_f) one of three kinds is drawn to 0. An adapter of PEFT is
# a part of the name, too: as "debiased" or "norm" it is trained without the decay that the same adapter has as "default".
# Seen, decayed: q_proj, ln_f; not decayed: debias, unbiased_head, attn_norm, ff_norm; LoRA of 4 matrices: default 4, debiased 0, norm 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 peft==0.21.2 torch==2.13.0 numpy==2.4.6
cat > "$work/decay.py" <<'PY'
import tempfile

import peft
import torch
import transformers
from torch import nn


class Scale(nn.Module):
    """RMSNorm as model code has it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("attn_norm", "ff_norm", "ln_f"):
            self.add_module(name, Scale())
        for name in ("q_proj", "v_proj", "debias", "unbiased_head"):
            self.add_module(name, nn.Linear(4, 4, bias=False))

    def forward(self, x):
        return {"loss": self.ln_f(self.q_proj(x)).mean()}


def decayed(model):
    """Names of the trained weights that the optimizer decays."""
    names = {weight: name for name, weight in model.named_parameters()}
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(folder, weight_decay=0.1, use_cpu=True, report_to=[])
        groups = transformers.Trainer(model, arguments).create_optimizer().param_groups
    return [names[weight] for group in groups if group["weight_decay"] for weight in group["params"]]


def of_adapter(name):
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    return len(decayed(peft.get_peft_model(Net(), settings, adapter_name=name)))


whole = sorted(name.removesuffix(".weight") for name in decayed(Net()))
adapters = {name: of_adapter(name) for name in ("default", "debiased", "norm")}
print(f"transformers {transformers.__version__}, decayed of the whole model: {whole}; matrices of LoRA by the adapter's name: {adapters}")
assert whole == ["ln_f", "q_proj", "v_proj"], "weights are chosen otherwise now"
assert adapters == {"default": 4, "debiased": 0, "norm": 0}, "an adapter's name counts otherwise now"
PY
HF_HUB_OFFLINE=1 "$work/env/bin/python" -W ignore "$work/decay.py"

#!/usr/bin/env bash
# peft 0.21.2, transformers 5.23.0, torch 2.13.0, CPU: a merged model that is saved where its adapter lies has the adapter twice.
#
# Guess: a folder with config.json and model.safetensors is that model, whatever else lies there; after merge_and_unload().save_pretrained(folder)
# from_pretrained(folder) computes what the merged model does. Or it refuses a folder with a whole model and an adapter, as one of two is meant.
# Behaviour: the weights that are read are the merged ones, and because of adapter_config.json the adapter is put on top of them: its change
# counts twice, without a word. With peft taken out of the environment the same call gives the merged model, so training and evaluation
# may see two models in one folder. Saved to a folder of its own, or with the adapter's two files taken away, it is right.
# Seen, difference of a q_proj from the base as a multiple of the adapter's: with peft 2.0, without 1.0, in a folder of its own 1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check peft==0.21.2 transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cat > "$work/save.py" <<'PY'
import peft
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
LlamaForCausalLM(LlamaConfig(vocab_size=50, num_hidden_layers=1, **sizes)).save_pretrained("base")
model = AutoModelForCausalLM.from_pretrained("base")
lora = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
model = peft.get_peft_model(model, lora)
model.save_pretrained("run")
merged = model.merge_and_unload()
for folder in ("run", "apart"):
    merged.save_pretrained(folder)
PY
cat > "$work/load.py" <<'PY'
import sys

import torch
from transformers import AutoModelForCausalLM


def outputs(folder):
    """Of the first q_proj for each unit vector: its weight, with what an adapter adds."""
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder).model.layers[0].self_attn.q_proj(torch.eye(32))


base = outputs("base")
change = outputs("apart") - base
times = ((outputs("run") - base).norm() / change.norm()).item()
straight = torch.allclose(outputs("run") - base, times * change, atol=1e-5)
print(f"{sys.argv[1]}: {times:.2f} times the adapter, the same direction {straight}")
assert straight and abs(times - float(sys.argv[2])) < 0.01, "read otherwise now"
PY
cd "$work"
export HF_HUB_OFFLINE=1 TQDM_DISABLE=1
env/bin/python -W ignore save.py
env/bin/python load.py "with peft" 2
env/bin/pip uninstall --quiet --yes peft
env/bin/python load.py "without peft" 1

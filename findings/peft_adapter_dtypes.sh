#!/usr/bin/env bash
# peft 0.21.2, transformers 5.23.0, torch 2.13.0, CPU: by which door an adapter comes in decides how exact its numbers are.
#
# Guess: an adapter on a model in bfloat16 is held in float32, as peft does it so that small steps of training are not rounded away:
# with peft's get_peft_model as with the add_adapter of transformers, which calls peft, and a float32 file is read as it is.
# Behaviour: get_peft_model, PeftModel.from_pretrained and PeftModel's own load_adapter and add_adapter hold it in float32. The methods of the same
# names that a transformers model has (add_adapter, load_adapter) hold it in bfloat16: the saved adapter is rounded when it is loaded, and
# trained there it stands still wherever a step is below a 256th of a weight. So is what add_weighted_adapter makes of two float32
# adapters. The file that such a model saves is one of bfloat16, and nothing says so.
# Seen: peft float32, float32, float32, float32; transformers bfloat16, bfloat16; add_weighted_adapter bfloat16. 100 steps of 1e-3 from 1:
# float32 1.1, bfloat16 1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 peft==0.21.2 torch==2.13.0 numpy==2.4.6
cat > "$work/doors.py" <<'PY'
import peft
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
SETTINGS = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")


def base():
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, num_hidden_layers=1, **SIZES)).to(torch.bfloat16)


def weights(model, name="default"):
    return [weight for key, weight in model.named_parameters() if f".{name}." in key]


def kind(model, name="default"):
    (dtype,) = {str(weight.dtype).removeprefix("torch.") for weight in weights(model, name)}
    return dtype


def moved(model):
    """Where a weight of 1 is after a hundred steps of a thousandth."""
    weight = weights(model)[0]
    with torch.no_grad():
        weight.fill_(1)
    optimizer = torch.optim.SGD([weight], lr=1e-3)
    for _ in range(100):
        weight.grad = -torch.ones_like(weight)
        optimizer.step()
    return round(weight.flatten()[0].item(), 3)


torch.manual_seed(0)
made = peft.get_peft_model(base(), SETTINGS)
with torch.no_grad():
    for weight in weights(made):
        weight.add_(0.01 * torch.randn_like(weight))
made.save_pretrained("saved")
read = peft.PeftModel.from_pretrained(base(), "saved")
read.load_adapter("saved", "second")
read.add_adapter("third", SETTINGS)
read.add_weighted_adapter(["second", "third"], [1, 1], "both", combination_type="cat")
added, loaded = base(), base()
added.add_adapter(SETTINGS)
loaded.load_adapter("saved")
added.save_pretrained("again")

found = {
    "get_peft_model": kind(made),
    "PeftModel.from_pretrained": kind(read),
    "PeftModel.load_adapter": kind(read, "second"),
    "PeftModel.add_adapter": kind(read, "third"),
    "add_weighted_adapter": kind(read, "both"),
    "transformers add_adapter": kind(added),
    "transformers load_adapter": kind(loaded),
}
files = [{str(tensor.dtype) for tensor in load_file(f"{name}/adapter_model.safetensors").values()} for name in ("saved", "again")]
rounded = any(not torch.equal(one, other.float()) for one, other in zip(weights(made), weights(loaded), strict=True))
steps = moved(made), moved(added)
print(f"peft {peft.__version__}: {found}; files {files}; weights rounded by loading {rounded}; 100 steps {steps}")
assert all(dtype == "float32" for name, dtype in found.items() if name.startswith(("get", "Peft")))
assert all(dtype == "bfloat16" for name, dtype in found.items() if name.startswith(("add", "trans"))), "held otherwise now"
assert files == [{"torch.float32"}, {"torch.bfloat16"}] and rounded and steps == (1.1, 1.0)
PY
cd "$work" && HF_HUB_OFFLINE=1 TQDM_DISABLE=1 env/bin/python -W ignore doors.py

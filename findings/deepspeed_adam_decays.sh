#!/usr/bin/env bash
# deepspeed 0.19.8, torch 2.13.0, CPU: an optimizer of type Adam is AdamW, with torch's own a weight decay of 0.01.
#
# Guess: "optimizer": {"type": "Adam", "params": {"lr": 0.1, "torch_adam": true}} is torch.optim.Adam(lr=0.1): no weight decay, and one that
# is set is added to the gradient.
# Behaviour: "Adam" means adam_w_mode=True unless that is set to false, so torch.optim.AdamW is made, whose default decay of 0.01 applies:
# weights that get no gradient shrink by lr times 0.01 a step. Adam as it is in papers takes "adam_w_mode": false. The name that is saved and
# logged is "Adam" in both.
# Seen, a weight of 1 with a gradient of 0 after one step: Adam 0.999, Adam with adam_w_mode false 1.0, AdamW 0.999.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 deepspeed==0.19.8
cat > "$work/adam.py" <<'PY'
import os

os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29781"}

import logging

import deepspeed
import torch

logging.disable(logging.WARNING)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self):
        return (self.weight * 0.0).sum()


def after_a_step(kind, **params):
    model = Net()
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": 1},
        "zero_force_ds_cpu_optimizer": False,
        "optimizer": {"type": kind, "params": {"lr": 0.1, "torch_adam": True, **params}},
    }
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    engine.backward(engine())
    engine.step()
    return type(engine.basic_optimizer).__name__, round(model.weight[0].item(), 4)


seen = {
    "Adam": after_a_step("Adam"),
    "Adam, adam_w_mode false": after_a_step("Adam", adam_w_mode=False),
    "AdamW": after_a_step("AdamW"),
}
print(f"deepspeed {deepspeed.__version__}: made, and a weight of 1 without gradient: {seen}")
assert seen["Adam"] == seen["AdamW"] == ("AdamW", 0.999), "Adam is Adam now"
assert seen["Adam, adam_w_mode false"] == ("Adam", 1.0)
PY
DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 "$work/env/bin/python" "$work/adam.py"

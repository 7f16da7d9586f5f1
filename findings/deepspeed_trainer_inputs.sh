#!/usr/bin/env bash
# transformers 5.23.0, accelerate 1.15.0, deepspeed 0.19.8, torch 2.13.0, CPU: Trainer under DeepSpeed rounds what a batch says in floats to bfloat16.
#
# Guess: bf16 in DeepSpeed's configuration is about weights and activations. Floats of a batch that are no activations (weights of rows, soft
# labels, noise levels, times) reach the model as the collator made them, as they do with bf16=True without DeepSpeed.
# Behaviour: on their way to the device all floating tensors of a batch are cast to the dtype of DeepSpeed's configuration: a weight of 0.1 is
# 0.10009765625, the count 257.0 is 256, a time of 0.999 is 1. float64 as well. Whole numbers are left alone. A loss that divides by a number
# of tokens in the batch so divides by another one.
# Seen: [0.1, 257.0, 0.999] arrives as float32 without DeepSpeed, as bfloat16 [0.1001, 256.0, 1.0] with it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 deepspeed==0.19.8 transformers==5.23.0 accelerate==1.15.0
cat > "$work/inputs.py" <<'PY'
import os

os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29781"}

import logging
import tempfile

import torch
import transformers

logging.disable(logging.WARNING)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), []

    def forward(self, levels, labels=None):
        self.seen.append((str(levels.dtype), [round(v, 4) for v in levels.flatten().tolist()]))
        return {"loss": self.weight.float().sum()}


def arrives(**more):
    model = Net()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, max_steps=1, per_device_train_batch_size=1, bf16=True, use_cpu=True, save_strategy="no",
            logging_strategy="no", report_to=[], disable_tqdm=True, **more,
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=[{"levels": torch.tensor([0.1, 257.0, 0.999])}])
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
    return model.seen[0]


plain = arrives()
config = {
    "train_micro_batch_size_per_gpu": 1,
    "zero_optimization": {"stage": 1},
    "zero_force_ds_cpu_optimizer": False,
    "bf16": {"enabled": True},
    "optimizer": {"type": "AdamW", "params": {"lr": "auto", "torch_adam": True}},
}
under = arrives(deepspeed=config)
print(f"transformers {transformers.__version__}: plain {plain}, under DeepSpeed {under}")
assert plain == ("torch.float32", [0.1, 257.0, 0.999])
assert under == ("torch.bfloat16", [0.1001, 256.0, 1.0]), "batches keep their floats now"
PY
DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/inputs.py"

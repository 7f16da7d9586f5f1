#!/usr/bin/env bash
# deepspeed 0.19.8, torch 2.13.0, CPU: under ZeRO a step whose gradient is not a number is not taken, and is counted.
#
# Guess: only float16, with its loss scale, skips steps. In float32 and bfloat16 a gradient that is NaN goes into the weights, as with torch's
# optimizers, and the run ends in NaN for everybody to see.
# Behaviour: stages 1 and 2 leave the step out in float32 and bfloat16, stage 0 in bfloat16; weights stay as they were, skipped_steps and
# global_steps both go up. A training whose every gradient is NaN runs to its end with the weights it began with, with a warning in the log at
# each step ("OVERFLOW!") and no error; its step count and the names of its checkpoints look as they should. Stage 0 in float32 takes the
# step, and all weights are NaN.
# Seen, stages 0, 1 and 2: weights NaN in float32 yes, no, no; in bfloat16 no, no, no; global_steps 1 in all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 deepspeed==0.19.8
cat > "$work/steps.py" <<'PY'
import os

os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29781"}

import logging

import deepspeed
import torch

logging.disable(logging.WARNING)


def after_a_step(stage, bf16):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": stage},
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": bf16},
        "optimizer": {"type": "AdamW", "params": {"lr": 0.1, "torch_adam": True}},
    }
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    x = torch.ones(1, 4, dtype=torch.bfloat16 if bf16 else torch.float32)
    engine.backward(engine(x).sum() * float("nan"))
    engine.step()
    broken = any(bool(weight.isnan().any()) for weight in model.parameters())
    return broken, engine.global_steps, engine.skipped_steps


seen = {("bfloat16" if bf16 else "float32", stage): after_a_step(stage, bf16) for bf16 in (False, True) for stage in (0, 1, 2)}
print(f"deepspeed {deepspeed.__version__}: (weights NaN, global_steps, skipped_steps) {seen}")
assert seen["float32", 0] == (True, 1, 0)
assert all(found == (False, 1, 1) for way, found in seen.items() if way != ("float32", 0)), "NaN reaches the weights now, or is not counted"
PY
DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 "$work/env/bin/python" "$work/steps.py"

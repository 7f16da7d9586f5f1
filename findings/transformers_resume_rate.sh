#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: a resumed training takes its learning rate and weight decay from the checkpoint, not from its arguments.
#
# Guess: train(resume_from_checkpoint=...) with another learning_rate and weight_decay goes on from the weights and moments with the new
# ones; or says that they differ, as it does (with a warning) for the batch size, logging_steps, eval_steps and save_steps.
# Behaviour: the groups of the optimizer and the scheduler's base rate are loaded over what the arguments say: rate, decay and betas of the first run
# go on. The arguments, and training_args.bin beside the new checkpoint, name the new ones; only "learning_rate" in the log shows
# the old. Of max_steps and the schedule's kind the new ones count, so half of the arguments work. To change a rate, load the weights and
# begin anew.
# Seen, first run 1e-3 and 0.1, resumed with 1e-5 and 0: rate 1e-3, decay 0.1; arguments 1e-5 and 0; warnings 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/resume.py" <<'PY'
import io
import logging

import torch
import transformers
from torch import nn

said = io.StringIO()
transformers.utils.logging.get_logger("transformers").addHandler(logging.StreamHandler(said))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        return {"loss": self.layer(x).mean()}


def train(steps, resume=None, **settings):
    """Rate, decay and first beta of the last step, and what the arguments say."""
    arguments = transformers.TrainingArguments(
        "run",
        max_steps=steps,
        save_steps=2,
        lr_scheduler_type="constant",
        per_device_train_batch_size=1,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **settings,
    )
    rows = [{"x": torch.ones(1)} for _ in range(8)]
    trainer = transformers.Trainer(Net(), arguments, train_dataset=rows)
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.train(resume_from_checkpoint=resume)
    group = trainer.optimizer.param_groups[0]
    assert trainer.state.global_step == steps
    return (group["lr"], group["weight_decay"], group["betas"][0]), (arguments.learning_rate, arguments.weight_decay, arguments.adam_beta1)


first, _ = train(2, learning_rate=1e-3, weight_decay=0.1, adam_beta1=0.5)
used, asked = train(4, "run/checkpoint-2", learning_rate=1e-5, weight_decay=0.0, adam_beta1=0.9)
words = [line for line in said.getvalue().splitlines() if "rate" in line or "decay" in line]
print(f"transformers {transformers.__version__}: first run {first}; resumed with {asked}: used {used}; said of it: {words}")
assert first == (1e-3, 0.1, 0.5) and asked == (1e-5, 0.0, 0.9)
assert used == first, "the arguments count now"
assert not words, "it says so now"
PY
cd "$work" && HF_HUB_OFFLINE=1 env/bin/python -W ignore resume.py

#!/usr/bin/env bash
# accelerate 1.15.0, transformers 5.23.0, torch 2.13.0, CPU: a batch that the model makes is made before the last step, not after it.
#
# Guess: an IterableDataset that lets the model write its own training data (rollouts of a student) under a DataLoader without workers is asked
# for a batch when the batch is needed: each comes from the weights after all steps so far, as with torch's DataLoader itself.
# Behaviour: a loader that went through prepare (Trainer's, too) takes one batch ahead, to know which is the last. From the second on each is
# made by the weights before the step in front of it: on-policy training is off by one step. With gradient accumulation Trainer asks for
# all batches of a step at once, and for one more, so the first of each group is of older weights than the others. Masks or times drawn
# in a collator are drawn one batch ahead of dropout, likewise; whoever stops in the middle has drawn a batch that is never used.
# Seen, steps taken when each of 8 batches was made: DataLoader 0 1 2 3 4 5 6 7, prepared and Trainer 0 0 1 2 3 4 5 6, Trainer
# with gradient_accumulation_steps=4: 0 0 0 0 0 1 1 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/ahead.py" <<'PY'
import tempfile

import accelerate
import torch
import transformers
from torch import nn
from torch.utils.data import DataLoader, IterableDataset


class Net(nn.Module):
    """Its one weight is the number of steps that were taken at a rate of 1."""

    def __init__(self):
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(1))

    def forward(self, x, labels=None):
        return {"loss": -self.steps.sum()}


class Rollouts(IterableDataset):
    def __init__(self, model):
        self.model, self.seen = model, []

    def __iter__(self):
        for _ in range(8):
            self.seen.append(round(self.model.steps.item()))
            yield {"x": torch.zeros(1)}


def by_loop(prepared):
    model = Net()
    rollouts = Rollouts(model)
    loader, optimizer = DataLoader(rollouts, batch_size=1), torch.optim.SGD(model.parameters(), lr=1.0)
    if prepared:
        loader, optimizer = accelerate.Accelerator(cpu=True).prepare(loader, optimizer)
    for batch in loader:
        model(**batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert model.steps.item() == 8
    return rollouts.seen


def by_trainer(accumulated):
    model = Net()
    rollouts = Rollouts(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            max_steps=8 // accumulated,
            max_grad_norm=0.0,
            gradient_accumulation_steps=accumulated,
            per_device_train_batch_size=1,
            learning_rate=1.0,
            lr_scheduler_type="constant",
            optim="sgd",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=rollouts)
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
    assert model.steps.item() == 8 // accumulated
    return rollouts.seen


plain, prepared, trainer, accumulated = by_loop(False), by_loop(True), by_trainer(1), by_trainer(4)
print(f"accelerate {accelerate.__version__}, transformers {transformers.__version__}, steps taken when each batch was made:")
print(f"DataLoader {plain}, prepared {prepared}, Trainer {trainer}, with gradient_accumulation_steps=4 {accumulated}")
assert plain == list(range(8))
assert prepared == trainer == [0, *range(7)], "a batch is made after the step before it now"
assert accumulated == [0, 0, 0, 0, 0, 1, 1, 1], "the batches of a step are of one model now"
PY
HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/ahead.py"

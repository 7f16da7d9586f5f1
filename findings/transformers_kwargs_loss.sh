#!/usr/bin/env bash
# transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, CPU: **kwargs in a model's forward multiplies its gradients by the accumulation steps.
#
# Guess: four batches of two with gradient_accumulation_steps=4 train as one of eight: Trainer takes the mean of the losses that the model or
# compute_loss returns. What else forward would accept plays no part.
# Behaviour: a forward with **kwargs (as most code has that is loaded from a hub, to swallow use_cache and the like) counts as one that divides
# by num_items_in_batch itself, and so does one that is replaced by a compute_loss of the user's own. If the rows have labels, Trainer
# then adds the losses up: loss in the log and gradient are as many times too large. Clipping at 1 and Adam hide it in the weights,
# grad_norm does not: what was clipped now and then is always. Without labels, or without **kwargs, it is the mean.
# Seen, loss and grad_norm of the first step, 8 rows at once and 4 x 2: without **kwargs 0.37, 1.54 both; with 0.37, 1.54 and 1.48, 6.18; with, and
# a compute_loss of the user's own, the same; with, no labels 0.37, 1.54 both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/loss.py" <<'PY'
import tempfile

import torch
import transformers
from torch import nn

draw = torch.Generator().manual_seed(1)
rows = [{"x": x, "labels": torch.tensor([1, 1, 1])} for x in torch.randn(8, 4, generator=draw)]
bare = [{"x": row["x"]} for row in rows]


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 1)

    def forward(self, x, labels=None):
        return {"loss": self.head(x).square().mean()}


class Swallowing(Plain):
    def forward(self, x, labels=None, **kwargs):
        return super().forward(x)


class Own(transformers.Trainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        return model(**inputs)["loss"]


def first(model, data, batch, accumulate, trainer=transformers.Trainer):
    """Loss and norm of the gradient in the first step over the eight rows."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulate,
            max_steps=1,
            logging_steps=1,
            learning_rate=0.1,
            optim="sgd",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        run = trainer(model(), arguments, train_dataset=data)
        run.remove_callback(transformers.trainer_callback.PrinterCallback)
        run.train()
    line = run.state.log_history[0]
    return round(line["loss"], 2), round(line["grad_norm"], 2)


cases = {
    "plain": (Plain, rows),
    "**kwargs": (Swallowing, rows),
    "**kwargs, own compute_loss": (Swallowing, rows, Own),
    "**kwargs, no labels": (Swallowing, bare),
}
seen = {}
for name, (model, data, *trainer) in cases.items():
    seen[name] = [first(model, data, batch, 8 // batch, *trainer) for batch in (8, 2)]
print(f"transformers {transformers.__version__}, torch {torch.__version__}: loss, grad_norm of 8 rows and of 4 x 2: {seen}")
for name, (at_once, in_parts) in seen.items():
    times = 4 if name in ("**kwargs", "**kwargs, own compute_loss") else 1
    assert abs(in_parts[0] - times * at_once[0]) < 0.03, f"{name}: the losses are put together otherwise now"
    assert abs(in_parts[1] - times * at_once[1]) < 0.03, f"{name}: the gradients are put together otherwise now"
PY
TRANSFORMERS_VERBOSITY=error "$work/env/bin/python" -W ignore "$work/loss.py"

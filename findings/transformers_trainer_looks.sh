#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: how often a training is evaluated changes what is trained.
#
# Guess: evaluating a model between its steps is looking: with one seed the weights at the end are the same with eval_steps=5, with
# eval_steps=3 and without any evaluation. No row is drawn for it, and its rows are in their order.
# Behaviour: each pass over a DataLoader, shuffled or not, draws a number from torch's global generator, for workers that need not be
# there. So after each evaluation Trainer's dropout, and whatever else is drawn from that generator, goes on from another place: masks or
# noise levels of a diffusion model drawn in compute_loss as well. A run that is looked at more often is another run, as if of another
# seed. A loader with a generator of its own draws from that one and leaves the global one alone.
# Seen: weights with dropout, two runs without evaluation equal, with eval_steps 5, 3 and each epoch different; without dropout all equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/looks.py" <<'PY'
import tempfile

import torch
import transformers
from torch import nn
from torch.utils.data import DataLoader


class Net(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.head, self.dropout = nn.Linear(8, 1), nn.Dropout(dropout)

    def forward(self, x, labels):
        out = self.head(self.dropout(x))
        return {"loss": (out[:, 0] - labels).square().mean(), "logits": out}


torch.manual_seed(0)
rows = [{"x": x, "labels": y} for x, y in zip(torch.randn(64, 8), torch.randn(64), strict=True)]


def trained(dropout=0.5, **options):
    torch.manual_seed(1)
    model = Net(dropout)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            num_train_epochs=3,
            per_device_train_batch_size=8,
            learning_rate=0.01,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            **options,
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:16])
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
    return model.head.weight.tolist()


def moves(**options):
    """Whether a pass over an unshuffled loader moves the global generator."""
    before = torch.get_rng_state()
    list(DataLoader(range(4), **options))
    return not torch.equal(before, torch.get_rng_state())


ways = {
    "none": {},
    "every 5 steps": {"eval_strategy": "steps", "eval_steps": 5},
    "every 3 steps": {"eval_strategy": "steps", "eval_steps": 3},
    "every epoch": {"eval_strategy": "epoch"},
}
alone, still = trained(), trained(dropout=0.0)
same = {way: trained(**options) == alone for way, options in ways.items()}
same_without = {way: trained(dropout=0.0, **options) == still for way, options in ways.items()}
loader = {"loader": moves(), "loader with a generator": moves(generator=torch.Generator())}
print(f"transformers {transformers.__version__}, torch {torch.__version__}: the weights of the run without evaluation?")
print(f"with dropout {same}, without {same_without}; moves the global generator: {loader}")
assert same["none"] and all(same_without.values())
assert not any(same[way] for way in ways if way != "none"), "looking changes nothing now"
assert loader == {"loader": True, "loader with a generator": False}
PY
HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/looks.py"

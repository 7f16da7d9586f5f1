#!/usr/bin/env bash
# accelerate 1.15.0, torch 2.13.0, CPU: the last step of an epoch counts its batches by those that a full step would have.
#
# Guess: with gradient_accumulation_steps=4 and six batches, accumulate() takes a step after four and one after the last two; each has the
# mean gradient of its batches, so that equal batches give equal gradients.
# Behaviour: it does take a step at the end of the loader, but backward() divides each loss by four whatever is left: the gradient of the last
# step is that of its batches times 2/4, with one batch left a quarter. A loss taken times four over the number left is a mean.
# Seen, gradients of a loss whose gradient is 1 in each batch: 1.0 and 0.5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/last.py" <<'PY'
import accelerate
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return (self.weight * x).sum()


accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
model = Net()
model, optimizer, loader = accelerator.prepare(
    model, torch.optim.SGD(model.parameters(), lr=0.0), DataLoader(TensorDataset(torch.ones(6, 1)), batch_size=1)
)
seen = []
for (x,) in loader:
    with accelerator.accumulate(model):
        accelerator.backward(model(x))
        if accelerator.sync_gradients:
            seen.append(model.weight.grad.item())
        optimizer.step()
        optimizer.zero_grad()
print(f"accelerate {accelerate.__version__}: gradients of the steps {seen}")
assert seen == [1.0, 0.5], "the last step is a mean of its own batches now"
PY
"$work/env/bin/python" "$work/last.py"

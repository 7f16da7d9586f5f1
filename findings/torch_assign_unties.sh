#!/usr/bin/env bash
# torch 2.13.0, CPU: weights that were tied are two after load_state_dict(assign=True), in one memory: an optimizer moves it twice.
#
# Guess: assign=True puts the tensors of the state dict into the model in place of its own. A model's own state dict has one tensor under both
# names of a tied embedding and head, so loading it changes nothing, and they stay tied.
# Behaviour: each name gets a parameter of its own. Both look at the memory of the one tensor, so the model computes what it did, but
# parameters() has two, each with its part of the gradient and its moments, and a step of AdamW is taken twice on the same memory. From a file
# that has copies under both names they have memory of their own from then on, and drift apart without a word. Without assign they stay tied.
# Seen: parameters 1 before and 2 after; one memory; largest move in the first step of AdamW at a rate of 0.1: tied 0.1, after assign 0.2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/tied.py" <<'PY'
import copy

import torch
from torch import nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x))


def moved(model):
    before = model.embedding.weight.detach().clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return (model.embedding.weight - before).abs().max().item()


torch.manual_seed(0)
tied = Tied()
copied, assigned = copy.deepcopy(tied), copy.deepcopy(tied)
copied.load_state_dict(tied.state_dict())
assigned.load_state_dict(assigned.state_dict(), assign=True)
x = torch.randn(3, 4)
assert torch.equal(tied(x), assigned(x))
counts = [len(list(model.parameters())) for model in (tied, copied, assigned)]
shared = assigned.embedding.weight.data_ptr() == assigned.head.weight.data_ptr()
moves = [moved(tied), moved(assigned)]
print(f"torch {torch.__version__}: parameters {counts[0]}, loaded {counts[1]}, assigned {counts[2]}; one memory: {shared}")
print(f"largest move of a first step: tied {moves[0]:.3f}, assigned {moves[1]:.3f}")
assert counts == [1, 1, 2] and shared, "assigned weights stay tied now, or have memory of their own"
assert abs(moves[0] - 0.1) < 1e-3 and abs(moves[1] - 0.2) < 1e-3, "one step is taken now"
PY
"$work/env/bin/python" "$work/tied.py"

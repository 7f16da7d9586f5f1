#!/usr/bin/env bash
# torch 2.13.0, CPU: a second schedule may begin at the learning rate of the first.
#
# Guess: a new scheduler begins at the learning rate that the optimizer has ("sets initial lr as lr"): a second phase with a smaller rate
# sets group["lr"] and makes another schedule.
# Behaviour: the first scheduler leaves its rate in the optimizer as initial_lr, and a later LambdaLR (of which transformers makes its
# own) takes that one and writes it over group["lr"]: after a first phase at 1e-3 a second one that was set to 1e-5 runs at 1e-3.
# initial_lr is in the state_dict, so it does in the next process as well. CosineAnnealingLR, which multiplies, goes on from the lr that
# is there. Without it in the group (group.pop("initial_lr")), or with a new optimizer, both are as guessed.
# Seen: lr set to 1e-5 after a first schedule at 1e-3: LambdaLR begins at 1e-3, CosineAnnealingLR at 1e-5; LambdaLR after pop at 1e-5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/schedules.py" <<'PY'
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR


def constant(optimizer):
    return LambdaLR(optimizer, lambda step: 1.0)


def cosine(optimizer):
    return CosineAnnealingLR(optimizer, 10)


def used():
    """An optimizer that has run a first schedule at 1e-3."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = constant(optimizer)
    optimizer.step()
    schedule.step()
    return optimizer


def loaded():
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-5)
    optimizer.load_state_dict(used().state_dict())
    return optimizer


def begins_at(optimizer, schedule, forget=False):
    for group in optimizer.param_groups:
        group["lr"] = 1e-5
        if forget:
            group.pop("initial_lr")
    schedule(optimizer)
    return optimizer.param_groups[0]["lr"]


seen = {
    "LambdaLR": begins_at(used(), constant),
    "LambdaLR, state loaded": begins_at(loaded(), constant),
    "LambdaLR, initial_lr taken out": begins_at(used(), constant, forget=True),
    "CosineAnnealingLR": begins_at(used(), cosine),
}
print(f"torch {torch.__version__}, lr set to 1e-5 after a schedule at 1e-3, the second begins at {seen}")
assert seen["LambdaLR, initial_lr taken out"] == seen["CosineAnnealingLR"] == 1e-5
assert seen["LambdaLR"] == seen["LambdaLR, state loaded"] == 1e-3, "a schedule begins at the rate that is set now"
PY
"$work/env/bin/python" "$work/schedules.py"

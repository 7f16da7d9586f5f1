#!/usr/bin/env bash
# torch 2.13.0: a token that neither distribution allows makes the divergence NaN, in some functions.
#
# Guess: where a token's logit is -inf in both models (a mask token that is never an answer), it adds nothing to a KL
# divergence or to a cross-entropy against probabilities, since 0 log 0 counts as 0: kl_div documents that a target
# of 0 does not matter, and special.entr(0) is 0.
# Behaviour: F.kl_div is NaN with targets as probabilities and as log-probabilities, and F.cross_entropy is NaN with any
# target that is given as probabilities, also with a one-hot one whose index gives a finite loss and gradient. With
# label_smoothing the loss of an index is inf. torch.distributions.kl_divergence of two Categoricals is finite, with the
# right gradient, and so is Categorical.entropy.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/impossible.py" <<'PY'
import math

import torch
import torch.nn.functional as F
from torch.distributions import Categorical, kl_divergence

mask = -math.inf
teacher = torch.tensor([[1.0, 2.0, mask]])
student = torch.tensor([[0.5, 1.0, mask]], requires_grad=True)
log_p, log_q = teacher.log_softmax(-1), student.log_softmax(-1)
index, one_hot = torch.tensor([0]), torch.tensor([[1.0, 0.0, 0.0]])

between = kl_divergence(Categorical(logits=teacher), Categorical(logits=student))
between.sum().backward()
found = {
    "kl_div, probabilities": F.kl_div(log_q, log_p.exp(), reduction="sum").item(),
    "kl_div, log_target": F.kl_div(log_q, log_p, log_target=True, reduction="sum").item(),
    "cross_entropy, probabilities": F.cross_entropy(student, log_p.exp()).item(),
    "cross_entropy, one-hot": F.cross_entropy(student, one_hot).item(),
    "cross_entropy, index": F.cross_entropy(student, index).item(),
    "cross_entropy, index, smoothed": F.cross_entropy(student, index, label_smoothing=0.1).item(),
    "kl_divergence of Categoricals": between.item(),
    "entropy of a Categorical": Categorical(logits=teacher).entropy().item(),
}
print(f"torch {torch.__version__}")
for name, value in found.items():
    print(f"  {name}: {value}")
print("  its gradient:", student.grad.tolist())
for name in list(found)[:4]:
    assert math.isnan(found[name]), f"{name} is not NaN any more"
assert math.isinf(found["cross_entropy, index, smoothed"])
assert all(math.isfinite(found[name]) for name in list(found)[6:]) and math.isfinite(found["cross_entropy, index"])
by_hand = sum(p * math.log(p / q) for p, q in zip(log_p.exp()[0, :2].tolist(), log_q.exp()[0, :2].tolist()))
assert abs(between.item() - by_hand) < 1e-6 and student.grad[0, 2] == 0
# A target of 0 alone does no harm: it is the -inf beside it.
assert math.isfinite(F.kl_div(torch.tensor([[0.1, 0.2]]).log_softmax(-1), torch.tensor([[1.0, 0.0]]), reduction="sum").item())
PY
"$work/env/bin/python" "$work/impossible.py"

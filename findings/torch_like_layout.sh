#!/usr/bin/env bash
# torch 2.13.0, CPU: random numbers fill a tensor as it lies in memory, so a transposed one has other noise and other dropout.
#
# Guess: rand_like(x) is rand(x.shape) in x's type; from one seed x and x.contiguous() get the same noise and the same dropout, since they are
# equal. How a tensor lies in memory is seen in speed alone.
# Behaviour: rand_like, randn_like, uniform_ and normal_ number the places as they lie in memory, and dropout does, too. Logits that were transposed for
# a loss over (batch, vocabulary, length), or for attention heads, have another noise at each position than the same logits made
# contiguous; a view() that becomes a reshape(), or a compiled model with other strides, is another seed. torch.bernoulli(x) and
# F.gumbel_softmax go by the shape.
# Seen, same numbers for a transposed tensor and its contiguous copy: rand_like, randn_like, uniform_, dropout False; bernoulli, gumbel_softmax True.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/layout.py" <<'PY'
import torch
import torch.nn.functional as F

turned = torch.full((30, 40), 0.5).t()
copied = turned.contiguous()
assert torch.equal(turned, copied)


def same(draw):
    found = []
    for x in (turned, copied):
        torch.manual_seed(0)
        found.append(draw(x))
    return torch.equal(*found)


ways = {
    "rand_like": torch.rand_like,
    "randn_like": torch.randn_like,
    "uniform_": lambda x: torch.empty_like(x).uniform_(),
    "dropout": lambda x: F.dropout(x, 0.5),
    "rand of the shape": lambda x: torch.rand(x.shape),
    "rand_like, contiguous": lambda x: torch.rand_like(x, memory_format=torch.contiguous_format),
    "bernoulli": torch.bernoulli,
    "gumbel_softmax": F.gumbel_softmax,
}
found = {name: same(draw) for name, draw in ways.items()}
print(f"torch {torch.__version__}, the same numbers for a transposed tensor and its copy: {found}")
by_memory = {"rand_like", "randn_like", "uniform_", "dropout"}
assert {name for name, equal in found.items() if not equal} == by_memory, "numbers are laid otherwise now"
PY
"$work/env/bin/python" "$work/layout.py"
